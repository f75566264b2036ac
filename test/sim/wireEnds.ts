/**
 * Both ends' encoders and decoders for one connection: a message becomes the bytes that a socket would carry, cut somewhere, and a message again. What
 * comes out is a copy: nothing that an engine does with its buffers afterwards can be seen at the other end.
 */
import { decoderFromReplica, decoderToReplica, type FrameDecoder } from '../../core/wire/decode.ts';
import { Encoder } from '../../core/wire/encode.ts';
import type { Message } from '../../core/wire/layout.ts';
import type { FromReplica, Seal, ToReplica } from '../../core/wire/messages.ts';
import type { SeededRandom } from '../support/seededRandom.ts';
import { Violation } from './violation.ts';

class End<Heard extends Message> {
  readonly #encoder: Encoder;
  readonly #decoder: FrameDecoder<Heard>;
  readonly #random: SeededRandom;
  #heard: Heard | null = null;

  constructor(session: Seal, random: SeededRandom, decoderOf: (hand: (message: Heard) => void) => FrameDecoder<Heard>) {
    this.#encoder = new Encoder(session);
    this.#random = random;
    this.#decoder = decoderOf((message) => {
      this.#heard = message;
    });
  }

  carry(message: Heard): Heard {
    const bytes = Buffer.concat(this.#encoder.encode(message));
    const cut = this.#random.below(bytes.length);
    this.#heard = null;
    const broken = this.#decoder.push(bytes.subarray(0, cut)) ?? this.#decoder.push(bytes.subarray(cut));
    const heard = this.#heard as Heard | null;
    if (broken || !heard) throw new Violation('contract', `${message.type} does not come out of the wire again: ${broken?.message}`);
    return heard;
  }
}

export class WireEnds {
  readonly #toReplica: End<ToReplica>;
  readonly #toPrimary: End<FromReplica>;

  constructor(seal: Seal, random: SeededRandom) {
    this.#toReplica = new End<ToReplica>(seal, random, decoderToReplica);
    this.#toPrimary = new End<FromReplica>(seal, random, (hand) => decoderFromReplica(seal, hand));
  }

  toReplica(message: ToReplica): ToReplica {
    return this.#toReplica.carry(message);
  }

  toPrimary(message: FromReplica): FromReplica {
    return this.#toPrimary.carry(message);
  }
}
