import { argv, stdout } from 'node:process';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import type checkedIn from './schema.json';
import { configurationSchema } from './schema.js';

/** The checked-in file. Importing its type makes the compiler ship it beside this module. */
export type CheckedInSchema = typeof checkedIn;

type JsonSchema = z.core.JSONSchema.JSONSchema;

const REFERENCE = { type: 'string', pattern: '\\$\\{[A-Za-z_][A-Za-z0-9_]*\\}' } as const;

/**
 * JSON schema of drover.yaml as it is written, before substitution. What differs from the check of the reader:
 * a scalar may be text with a variable (`${NAME}`), and no secret is required, as the environment may hold it.
 * Rules between keys (rising weights, unique names) are the reader's alone.
 */
export function configurationJsonSchema(): JsonSchema {
  const { $schema, ...schema } = z.toJSONSchema(configurationSchema, { io: 'input', target: 'draft-07' });
  const head = { ...($schema === undefined ? {} : { $schema }), title: 'drover.yaml' };
  return { ...head, ...asWritten(schema) };
}

function asWritten(schema: JsonSchema): JsonSchema {
  const { properties, required, items, additionalProperties, anyOf, ...rest } = schema;
  if (properties !== undefined) {
    const entries = Object.entries(properties) as [string, JsonSchema][];
    const secrets = entries.filter(([, property]) => property.writeOnly === true).map(([key]) => key);
    const needed = (required ?? []).filter((key) => !secrets.includes(key));
    return {
      ...rest,
      properties: Object.fromEntries(entries.map(([key, property]) => [key, asWritten(property)])),
      ...(needed.length === 0 ? {} : { required: needed }),
      ...(additionalProperties === undefined ? {} : { additionalProperties }),
    };
  }
  if (typeof additionalProperties === 'object') {
    return { ...rest, additionalProperties: asWritten(additionalProperties) };
  }
  if (items !== undefined) return { ...rest, items: asWritten(items as JsonSchema) };
  if (anyOf !== undefined) return { ...rest, anyOf: [...anyOf, REFERENCE] };
  const { description, default: standard, writeOnly, ...value } = rest;
  const anyText = Object.keys(value).every((key) => key === 'type' || key === 'minLength') && value.type === 'string';
  if (anyText) return schema;
  const notes = {
    ...(description === undefined ? {} : { description }),
    ...(standard === undefined ? {} : { default: standard }),
    ...(writeOnly === undefined ? {} : { writeOnly }),
  };
  return { ...notes, anyOf: [value, REFERENCE] };
}

// `npm run build && node dist/config/json-schema.js > config/schema.json && npx prettier --write config/schema.json`
if (argv[1] === fileURLToPath(import.meta.url)) stdout.write(`${JSON.stringify(configurationJsonSchema(), null, 2)}\n`);
