import { expect } from 'chai';
import { OperatingError } from '../../../core/errors.ts';
import { runChecks } from '../../../edge/http/checks.ts';
import { answerOf, HttpError } from '../../../edge/http/errors.ts';

describe('what a failed request is answered with', () => {
  const rows: [string, unknown, number, string][] = [
    ['no answer from etcd', new OperatingError('Unavailable', 'list volumes', 'no answer'), 503, 'Unavailable'],
    ['a conflict', new OperatingError('Conflict', 'change', 'changed meanwhile'), 409, 'Conflict'],
    ['what is not there', new OperatingError('NotFound', 'read', 'no such volume'), 404, 'NotFound'],
    ["a handler's own answer", new HttpError(403, 'Forbidden', 'may not'), 403, 'Forbidden'],
    ['a body too large', Object.assign(new Error('request entity too large'), { status: 413 }), 413, 'TooLarge'],
    ['a body that is no JSON', Object.assign(new Error('Unexpected token'), { status: 400 }), 400, 'BadRequest'],
    ['anything else', new Error('secret'), 500, 'Internal'],
    ['an error that calls itself a success', Object.assign(new Error('x'), { status: 200 }), 500, 'Internal'],
  ];
  for (const [sentence, error, status, code] of rows) {
    it(`${sentence}: ${status}`, () => {
      expect(answerOf(error)).to.include({ status, code });
    });
  }

  it('never shows what went wrong inside, and says when to come again only where that helps', () => {
    expect(answerOf(new Error('secret')).message).to.not.contain('secret');
    expect(answerOf(new Error('secret')).retryAfterSeconds).to.equal(null);
    expect(answerOf(new OperatingError('Unavailable', 'a', 'b')).retryAfterSeconds).to.equal(5);
  });
});

describe('checks', () => {
  it('all are asked; one that throws, rejects or hangs fails with a sentence', async () => {
    const results = await runChecks([
      { name: 'well', run: () => null },
      { name: 'ill', run: () => 'etcd gives no answer' },
      {
        name: 'throws',
        run: () => {
          throw new Error('broken');
        },
      },
      { name: 'rejects', run: () => Promise.reject(new Error('no')) },
      { name: 'hangs', run: () => new Promise(() => undefined) },
    ]);
    expect(results).to.deep.equal([
      { name: 'well', reason: null },
      { name: 'ill', reason: 'etcd gives no answer' },
      { name: 'throws', reason: 'failed: broken' },
      { name: 'rejects', reason: 'failed: no' },
      { name: 'hangs', reason: 'gave no answer within 1000 ms' },
    ]);
  });
});
