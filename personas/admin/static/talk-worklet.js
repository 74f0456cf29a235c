// The telephone in the browser's audio thread: microphone ─▶ packets, packets ─▶ loudspeaker, on one clock.
//
// in   {begin} · {play: µ-law} · {mark: name} · {clear} · {muted} · {end}
// out  {packet} · {played: names} · {levels: {caller, agent}}

import { LINE_HZ, PACKET_SAMPLES, Playout, Resampler, decoded, encode } from "./sound.js";

const NUMBER_BYTES = 4;
const LEVELS_SAMPLES = 0.08 * LINE_HZ;
const STEP = LINE_HZ / 100;

class Level {
  power = 0;
  samples = 0;

  add(samples) {
    for (const sample of samples) this.power += sample * sample;
    this.samples += samples.length;
  }

  take() {
    const rms = this.samples ? Math.sqrt(this.power / this.samples) : 0;
    this.power = this.samples = 0;
    return rms;
  }
}

class Phone extends AudioWorkletProcessor {
  constructor() {
    super();
    this.toLine = new Resampler(sampleRate, LINE_HZ);
    this.fromLine = new Resampler(LINE_HZ, sampleRate);
    this.playout = new Playout();
    this.heard = new Float32Array(0); // at the loudspeaker's rate, not played yet
    this.step = new Float32Array(STEP);
    this.packet = null;
    this.number = 0;
    this.filled = 0;
    this.levels = { caller: new Level(), agent: new Level() };
    this.isOn = this.isMuted = this.isOver = false;
    this.port.onmessage = ({ data }) => this.take(data);
  }

  take(data) {
    if (data.play) this.playout.add(decoded(data.play));
    else if (data.mark !== undefined) this.playout.mark(data.mark);
    else if (data.clear) this.playout.clear();
    else if (data.muted !== undefined) this.isMuted = data.muted;
    else if (data.begin) this.isOn = true;
    else if (data.end) this.isOver = true;
    this.tellPlayed();
  }

  process([input], [output]) {
    const length = output[0].length;
    const said = this.toLine.push(input[0] ?? new Float32Array(length)); // no input: the device is gone
    if (this.isOn) this.say(this.isMuted ? said.fill(0) : said);
    this.hear(output[0]);
    for (const channel of output.slice(1)) channel.set(output[0]);
    if (this.levels.caller.samples >= LEVELS_SAMPLES) {
      this.port.postMessage({ levels: { caller: this.levels.caller.take(), agent: this.levels.agent.take() } });
    }
    return !this.isOver;
  }

  say(samples) {
    this.levels.caller.add(samples);
    for (const sample of samples) {
      this.packet ??= this.emptyPacket();
      const value = Math.round(Math.max(-1, Math.min(1, sample)) * 32767);
      this.packet[NUMBER_BYTES + this.filled++] = encode(value);
      if (this.filled < PACKET_SAMPLES) continue;
      this.port.postMessage({ packet: this.packet.buffer }, [this.packet.buffer]);
      this.packet = null;
      this.filled = 0;
    }
  }

  emptyPacket() {
    const packet = new Uint8Array(NUMBER_BYTES + PACKET_SAMPLES);
    new DataView(packet.buffer).setUint32(0, this.number++);
    return packet;
  }

  hear(out) {
    while (this.heard.length < out.length) {
      this.playout.fill(this.step);
      this.levels.agent.add(this.step);
      this.heard = joined(this.heard, this.fromLine.push(this.step));
    }
    out.set(this.heard.subarray(0, out.length));
    this.heard = this.heard.subarray(out.length);
    this.tellPlayed();
  }

  tellPlayed() {
    const names = this.playout.played();
    if (names.length) this.port.postMessage({ played: names });
  }
}

function joined(first, second) {
  const all = new Float32Array(first.length + second.length);
  all.set(first);
  all.set(second, first.length);
  return all;
}

registerProcessor("phone", Phone);
