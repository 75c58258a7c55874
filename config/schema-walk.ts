import { z } from 'zod';

export type Schema = z.core.$ZodType;
export type Path = readonly (string | number)[];

const definition = (schema: Schema) => (schema as z.core.$ZodTypes)._zod.def;

/** The schema inside defaults, optionals and transforms: what the file has to hold. */
export function unwrap(schema: Schema): Schema {
  return layers(schema).at(-1) ?? schema;
}

function layers(schema: Schema): readonly Schema[] {
  const def = definition(schema);
  if (def.type === 'optional' || def.type === 'default' || def.type === 'prefault') {
    return [schema, ...layers(def.innerType)];
  }
  return def.type === 'pipe' ? [schema, ...layers(def.in)] : [schema];
}

export type Kind = 'object' | 'record' | 'array' | 'number' | 'boolean' | 'text';

/** What kind of value the file has to hold here. */
export function kindOf(schema: Schema): Kind {
  const { type } = definition(unwrap(schema));
  return type === 'object' || type === 'record' || type === 'array' || type === 'number' || type === 'boolean'
    ? type
    : 'text';
}

/** Keys of a strict object; none for anything else. */
export function keysOf(schema: Schema): readonly string[] {
  const def = definition(unwrap(schema));
  return def.type === 'object' ? Object.keys(def.shape) : [];
}

export function childOf(schema: Schema, key: string | number): Schema | undefined {
  const def = definition(unwrap(schema));
  if (def.type === 'object') return Object.hasOwn(def.shape, key) ? def.shape[key] : undefined;
  if (def.type === 'array') return def.element;
  return def.type === 'record' ? def.valueType : undefined;
}

export function schemaAt(schema: Schema, path: Path): Schema | undefined {
  return path.reduce<Schema | undefined>((at, key) => at && childOf(at, key), schema);
}

export function descriptionOf(schema: Schema): string | undefined {
  return metadataOf(schema, 'description') as string | undefined;
}

/** Whether the value here is a secret. */
export function isSecret(schema: Schema): boolean {
  return metadataOf(schema, 'writeOnly') === true;
}

function metadataOf(schema: Schema, key: 'description' | 'writeOnly'): unknown {
  for (const layer of layers(schema)) {
    const value = z.globalRegistry.get(layer)?.[key];
    if (value !== undefined) return value;
  }
  return undefined;
}

/** Text of a variable as the number or boolean that belongs here; what does not read as one stays text. */
export function scalarFromText(schema: Schema | undefined, text: string): string | number | boolean {
  const kind = schema === undefined ? 'text' : kindOf(schema);
  const trimmed = text.trim();
  if (kind === 'number' && /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i.test(trimmed)) return Number(trimmed);
  if (kind === 'boolean' && /^(?:true|false)$/i.test(trimmed)) return trimmed.toLowerCase() === 'true';
  return text;
}
