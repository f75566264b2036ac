/** PROTOCOL.md and layout.ts are one table, and what two versions must understand of each other is pinned byte for byte. */

import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { PROTOCOL } from '../../../../core/versions.ts';
import { Encoder } from '../../../../core/wire/encode.ts';
import { type FieldName, FRAME_KINDS, HEADER, HEADER_BYTES } from '../../../../core/wire/layout.ts';
import { FRAME_BODY_BYTES_MAX } from '../../../../core/wire/messages.ts';
import { LAST, SEAL, SEAL_BODY, SESSION } from './samples.ts';

const text = readFileSync(new URL('../../../../core/wire/PROTOCOL.md', import.meta.url), 'utf8');

/** The rows of the table under a heading, as lists of cells without their backquotes. */
function table(heading: string): string[][] {
  const section = text.split(`\n## ${heading}\n`)[1]?.split('\n## ')[0] ?? '';
  const lines = section.split('\n').filter((line) => line.startsWith('|'));
  return lines.slice(2).map((line) =>
    line
      .slice(1, -1)
      .split('|')
      .map((cell) => cell.trim().replaceAll('`', '')),
  );
}

describe('PROTOCOL.md', () => {
  it('has the header of layout.ts, field by field', () => {
    const names = Object.keys(HEADER) as (keyof typeof HEADER)[];
    const code = names.map((name, index) => {
      const next = names[index + 1];
      return [String(HEADER[name]), String((next ? HEADER[next] : HEADER_BYTES) - HEADER[name]), name];
    });
    expect(table('Header').map((row) => row.slice(0, 3))).to.deep.equal(code);
  });

  it('has the frame types of layout.ts, with their flags, fields, bodies and longest lengths', () => {
    const fields: FieldName[] = ['number', 'offset', 'length', 'argument', 'settled'];
    const code = FRAME_KINDS.map((kind) => [
      String(kind.code),
      kind.name,
      kind.flag ?? '',
      ...fields.map((field) => kind.fields[field] ?? ''),
      kind.body === 'none' ? '' : kind.body,
      kind.bodyBytesMax === 0 ? '' : String(kind.bodyBytesMax),
    ]);
    expect(table('Types').filter((row) => row[0] !== '')).to.deep.equal(code);
  });

  it('names the version, the longest body and every kind of body', () => {
    expect(text).to.include(`# The replication protocol, version ${PROTOCOL.highest}\n`);
    expect(text).to.include(`No body is longer than ${FRAME_BODY_BYTES_MAX} bytes`);
    const bodies = new Set(FRAME_KINDS.map((kind) => kind.body));
    bodies.delete('none');
    const described = table('Bodies').slice(0, bodies.size);
    expect(new Set(described.map((row) => row[0]))).to.deep.equal(bodies);
  });
});

describe('the handshake, which never changes', () => {
  const hex = (frame: readonly Buffer[]): string => Buffer.concat(frame).toString('hex');

  it('has this Seal', () => {
    const header =
      '48465257' + // magic
      '0100' + // version
      '01' + // type
      '00' + // flags
      '40168804' + // header checksum
      '6b51927c' + // body checksum
      '38020000' + // body length
      '00000000' + // reserved
      '0500000000000000' + // epoch
      '1032547698badcfe' + // instance
      '00'.repeat(56);
    const frame = hex(new Encoder(SESSION).encode(SEAL));
    expect(frame.slice(192)).to.equal(Buffer.from(SEAL_BODY).toString('hex'));
    expect(frame.slice(0, 192)).to.equal(header);
  });

  it('has this Refused', () => {
    const refused = LAST[0];
    expect(refused?.message.type).to.equal('refused');
    if (refused)
      expect(hex(new Encoder(SESSION).encode(refused.message)).slice(0, 192)).to.equal(
        `484652570100420004bc5a5971e4689c5b0000000000000005000000000000001032547698badcfe${'00'.repeat(56)}`,
      );
  });
});
