import type { Path } from './schema-walk.js';

/** The configuration before it is checked, and which variable set which part of it. */
export class Draft {
  readonly #sources: { readonly path: Path; readonly source: string }[] = [];

  constructor(private current: unknown) {}

  get value(): unknown {
    return this.current;
  }

  get(path: Path): unknown {
    return path.reduce<unknown>(
      (at, key) => (isContainer(at) && Object.hasOwn(at, key) ? at[key] : undefined),
      this.current,
    );
  }

  /** Sets a value; where something that has no keys stands in the way, nothing is set: the check will report that. */
  set(path: Path, value: unknown, source: string): void {
    this.current = replaced(this.current, path, value);
    this.#sources.push({ path, source });
  }

  /** Name of the variable that set the value at `path` or a part around it, the latest if there are several. */
  sourceOf(path: Path): string | undefined {
    return this.#sources.findLast((set) => isPrefix(set.path, path))?.source;
  }

  /** Name of a variable that set a part of the value at `path`. */
  sourceWithin(path: Path): string | undefined {
    return this.#sources.findLast((set) => isPrefix(path, set.path))?.source;
  }
}

const isPrefix = (prefix: Path, path: Path): boolean =>
  prefix.length <= path.length && prefix.every((key, i) => key === path[i]);

function isContainer(value: unknown): value is Record<string | number, unknown> {
  return typeof value === 'object' && value !== null;
}

/** Copies along the path: parts of a YAML document can be shared by aliases. */
function replaced(container: unknown, [key, ...rest]: Path, value: unknown): unknown {
  if (key === undefined) return value;
  if (container !== undefined && !isContainer(container)) return container;
  const child = replaced(container?.[key], rest, value);
  if (Array.isArray(container)) return container.map((entry: unknown, i) => (i === key ? child : entry));
  return { ...container, [key]: child };
}
