// Sound between a browser and a telephone line: G.711 µ-law, resampling, and what waits to be played. No I/O.

export const LINE_HZ = 8000;
export const PACKET_SAMPLES = 160; // 20 ms

const SEGMENT_ENDS = [0x3f, 0x7f, 0xff, 0x1ff, 0x3ff, 0x7ff, 0xfff, 0x1fff];
const BIAS = 0x84;
const CLIP = 8159;

// ITU-T G.711: an int16 sample as one byte.
export function encode(sample) {
  let value = sample >> 2;
  const mask = value < 0 ? 0x7f : 0xff;
  value = Math.min(Math.abs(value), CLIP) + (BIAS >> 2);
  const segment = SEGMENT_ENDS.findIndex((end) => value <= end);
  if (segment < 0) return 0x7f ^ mask;
  return ((segment << 4) | ((value >> (segment + 1)) & 0xf)) ^ mask;
}

// One byte as an int16 sample.
export function decode(byte) {
  const value = ~byte & 0xff;
  const size = ((((value & 0xf) << 3) + BIAS) << ((value & 0x70) >> 4)) - BIAS;
  return value & 0x80 ? -size : size;
}

const DECODED = Float32Array.from({ length: 256 }, (_, byte) => decode(byte) / 32768);

// Bytes of µ-law as samples in [-1, 1].
export function decoded(bytes) {
  return Float32Array.from(bytes, (byte) => DECODED[byte]);
}

// From one rate to another by a polyphase filter: a sinc under Kaiser's window, flat to 85 % of the lower rate's band
// and 65 dB down at its end, so that nothing folds back and no image is heard.
// Kaiser's formulas: Oppenheim & Schafer, Discrete-Time Signal Processing, 7.5.
export class Resampler {
  static STOP_DB = 65;
  static PASS = 0.85;

  constructor(fromHz, toHz) {
    const shared = gcd(fromHz, toHz);
    this.up = toHz / shared;
    this.down = fromHz / shared;
    const edge = Math.min(fromHz, toHz) / 2;
    const transition = (2 * Math.PI * edge * (1 - Resampler.PASS)) / fromHz;
    this.taps = 2 * Math.ceil((Resampler.STOP_DB - 7.95) / (2.285 * transition) / 2);
    this.filters = filters(this.taps, this.up, (edge * (1 + Resampler.PASS)) / 2 / fromHz);
    this.waiting = new Float32Array(this.taps + 4096);
    this.length = this.taps - 1; // silence before the beginning
    this.phase = 0;
  }

  // Take up to 4096 samples, return those that they make; the result is good until the next call.
  push(samples) {
    this.waiting.set(samples, this.length);
    this.length += samples.length;
    const most = Math.ceil(((samples.length + 1) * this.up) / this.down) + 1;
    if (!(this.made?.length >= most)) this.made = new Float32Array(most);
    let at = 0;
    let count = 0;
    while (at + this.taps <= this.length) {
      const filter = this.filters[this.phase];
      let sum = 0;
      for (let tap = 0; tap < this.taps; tap++) sum += filter[tap] * this.waiting[at + tap];
      this.made[count++] = sum;
      this.phase += this.down;
      at += Math.floor(this.phase / this.up);
      this.phase %= this.up;
    }
    this.waiting.copyWithin(0, at, this.length);
    this.length -= at;
    return this.made.subarray(0, count);
  }
}

// For each phase the taps, earliest sample first; `cutoff` in cycles a sample.
function filters(taps, phases, cutoff) {
  const beta = 0.1102 * (Resampler.STOP_DB - 8.7);
  const half = taps / 2;
  return Array.from({ length: phases }, (_, phase) => {
    const filter = new Float32Array(taps);
    let sum = 0;
    for (let tap = 0; tap < taps; tap++) {
      const distance = tap - half + 1 - phase / phases;
      const inside = 1 - (distance / half) ** 2;
      const window = inside > 0 ? bessel(beta * Math.sqrt(inside)) / bessel(beta) : 0;
      const angle = 2 * Math.PI * cutoff * distance;
      filter[tap] = window * (angle ? Math.sin(angle) / angle : 1);
      sum += filter[tap];
    }
    return filter.map((value) => value / sum);
  });
}

// The modified Bessel function of the first kind, order 0.
function bessel(x) {
  let sum = 1;
  for (let n = 1, term = 1; term > 1e-9 * sum; n++) {
    term *= (x / 2 / n) ** 2;
    sum += term;
  }
  return sum;
}

function gcd(a, b) {
  return b ? gcd(b, a % b) : a;
}

// What waits to be played, at the line's rate: a jitter buffer of bounded length, in which marks stand between sounds.
export class Playout {
  static START = 0.06 * LINE_HZ; // waits before a beginning, for what comes late
  static MOST_START = 0.2 * LINE_HZ; // to which every hole in speech adds a packet
  static SPEECH = 0.01; // of full scale; in silence there are holes on purpose, to catch up
  static MOST = 1.5 * LINE_HZ; // more than this is a call that lags: the oldest of it is left out

  constructor() {
    this.items = []; // Float32Array or the name of a mark
    this.queued = 0;
    this.start = Playout.START;
    this.waited = 0;
    this.isPlaying = false;
    this.reached = []; // names of marks, in order, since `played` was asked
  }

  add(samples) {
    this.items.push(samples);
    this.queued += samples.length;
    while (this.queued > Playout.MOST) this.#drop();
    this.#pass();
  }

  mark(name) {
    this.items.push(name);
    this.#pass();
  }

  // Drop what has not been played; its marks are reached.
  clear() {
    while (this.items.length) this.#drop();
    this.isPlaying = false;
  }

  // Return the names of the marks that were reached since this was asked.
  played() {
    const names = this.reached;
    this.reached = [];
    return names;
  }

  // Fill `out` with what is to be heard now, silence where there is nothing.
  fill(out) {
    let at = 0;
    if (this.#begins(out.length)) {
      while (at < out.length && this.queued) {
        const first = this.items[0];
        const some = first.subarray(0, out.length - at);
        out.set(some, at);
        this.last = some;
        at += some.length;
        this.queued -= some.length;
        if (some.length < first.length) this.items[0] = first.subarray(some.length);
        else this.items.shift();
        this.#pass();
      }
      if (at < out.length) {
        this.isPlaying = false;
        this.waited = 0;
        const isSpeech = this.last.some((sample) => Math.abs(sample) > Playout.SPEECH);
        if (isSpeech) this.start = Math.min(Playout.MOST_START, this.start + PACKET_SAMPLES);
      }
    }
    out.fill(0, at);
  }

  #begins(samples) {
    if (this.isPlaying || !this.queued) return this.isPlaying;
    this.waited += samples;
    this.isPlaying = this.queued >= this.start || this.waited >= this.start;
    return this.isPlaying;
  }

  #drop() {
    const first = this.items.shift();
    if (typeof first === "string") this.reached.push(first);
    else this.queued -= first.length;
  }

  #pass() {
    while (typeof this.items[0] === "string") this.reached.push(this.items.shift());
  }
}
