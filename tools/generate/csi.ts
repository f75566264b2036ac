/**
 * Makes the TypeScript types of the Container Storage Interface from edge/csi/csi.proto, which is the specification's own file. Reads what the gRPC library
 * makes of it at run time, so that the two cannot differ. Must never be edited around.
 */
import { join } from 'node:path';
import { loadSync } from '@grpc/proto-loader';
import { PROTO_OPTIONS } from '../../edge/csi/proto.ts';

type Field = { name: string; label: string; type: string; typeName: string; oneofIndex: number | null };
type Enumeration = { name: string; value: { name: string }[] };
type Message = { name: string; field: Field[]; nestedType: Message[]; enumType: Enumeration[]; oneofDecl: { name: string }[] };
type Method = {
  originalName: string;
  requestStream: boolean;
  responseStream: boolean;
  requestType: { type: object };
  responseType: { type: object };
};

const PACKAGE = 'csi.v1.';
const SCALARS: Record<string, string> = {
  TYPE_STRING: 'string',
  TYPE_BOOL: 'boolean',
  TYPE_INT32: 'number',
  TYPE_INT64: 'number',
  TYPE_BYTES: 'Buffer',
};
const WELL_KNOWN: Record<string, string> = {
  Timestamp: '{ seconds: number; nanos: number }',
  BoolValue: '{ value: boolean }',
  Int64Value: '{ value: number }',
};

const baseName = (name: string): string => name.split('.').at(-1) ?? name;

/** Names of messages declared in others begin with those: VolumeCapabilityMountVolume. */
type Known = ReadonlyMap<string, string>;

function typeOf(field: Field, known: Known): string {
  const scalar = SCALARS[field.type];
  const name = baseName(field.typeName);
  const one = scalar ?? known.get(name) ?? WELL_KNOWN[name];
  if (one === undefined) throw new Error(`no type for ${field.typeName} ${field.type}`);
  if (field.label === 'LABEL_REPEATED') return `${one.includes(' ') ? `(${one})` : one}[]`;
  return field.type === 'TYPE_MESSAGE' ? `${one} | null` : one;
}

function messageText(message: Message, fullName: string, outer: Known): string[] {
  const known = new Map(outer);
  for (const inner of [...message.nestedType, ...message.enumType]) known.set(inner.name, `${fullName}${inner.name}`);
  const entries = new Set(message.nestedType.filter(isMapEntry).map(({ name }) => name));
  const fields = message.field.map((field) => {
    const isMap = entries.has(baseName(field.typeName));
    return `  ${field.name}: ${isMap ? 'Record<string, string>' : typeOf(field, known)};`;
  });
  const choices = message.oneofDecl.map(({ name }) => `  /** Which of them was sent. */\n  ${name}?: string;`);
  const body = [...fields, ...choices];
  return [
    ...message.enumType.map((one) => enumText(one, `${fullName}${one.name}`)),
    ...message.nestedType.filter((one) => !isMapEntry(one)).flatMap((one) => messageText(one, `${fullName}${one.name}`, known)),
    body.length === 0 ? `export type ${fullName} = Record<never, never>;` : `export type ${fullName} = {\n${body.join('\n')}\n};`,
  ];
}

/** What protobuf makes of a map; here all are of strings. */
const isMapEntry = ({ field }: Message): boolean => field.length === 2 && field[0]?.name === 'key' && field[1]?.name === 'value';
const enumText = ({ value }: Enumeration, name: string): string =>
  `export type ${name} = ${value.map((one) => `'${one.name}'`).join(' | ')};`;

function serviceText(name: string, methods: Method[]): string {
  const lines = methods.map(({ originalName, requestType, responseType }) => {
    const [request, response] = [requestType, responseType].map(({ type }) => (type as Message).name);
    return `  ${originalName}: Handler<${request}, ${response}>;`;
  });
  return `export type ${name}Service<Call> = {\n${lines.join('\n').replaceAll('Handler<', 'Handler<Call, ')}\n};`;
}

/** The name of the file, and its text. */
export function csiTypes(root: string): { name: string; text: string } {
  const definition = Object.entries(loadSync(join(root, 'edge/csi/csi.proto'), PROTO_OPTIONS)).filter(([name]) => name.startsWith(PACKAGE));
  const known = new Map<string, string>();
  for (const [name] of definition) known.set(baseName(name), baseName(name));
  const blocks = [
    '/** The types of the Container Storage Interface, made from csi.proto by tools/generate/csi.ts. Of what is sent, everything may be left out. */',
    `export type Loose<Type> = Type extends Buffer | readonly string[] ? Type : Type extends readonly (infer One)[] ? Loose<One>[] : Type extends object ? string extends keyof Type ? Type : { [Key in keyof Type]?: Loose<Type[Key]> } : Type;`,
    'export type Handler<Call, Request, Response> = (request: Request, call: Call) => Promise<Loose<Response>>;',
  ];
  for (const [name, value] of definition) {
    const short = baseName(name);
    if (!('format' in value)) {
      const methods = Object.values(value as unknown as Record<string, Method>);
      if (!methods.some(({ requestStream, responseStream }) => requestStream || responseStream)) blocks.push(serviceText(short, methods));
    } else if (String(value.format).includes('EnumDescriptor')) blocks.push(enumText(value.type as unknown as Enumeration, short));
    else blocks.push(...messageText(value.type as unknown as Message, short, known));
  }
  return { name: 'edge/csi/generated/csi.ts', text: `${blocks.join('\n\n')}\n` };
}
