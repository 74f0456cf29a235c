// A test call: this page is the caller's telephone, and what it does is what a phone network does.
//
// POST talk ─▶ signed forms ─▶ POST begin ─▶ nonce ─▶ media socket ⇄ talk-worklet.js ─▶ POST after ─▶ how it ended

import { Words, clock } from "./words.js";

const SAY = {
  insecure:
    "Browsers give the microphone only to pages that come by https, or from localhost: open this page at such an address.",
  old: "This browser can’t make calls: use a current Firefox, Chrome, Edge or Safari.",
  refused: "The microphone was refused: allow it for this page beside the browser’s address bar, and call again.",
  missing: "No microphone was found: plug one in, or switch one on, and call again.",
  busy: "The microphone can’t be used: another program may hold it; close that, and call again.",
  elsewhere: "Another tab of this browser is in a test call: hang up there first.",
  signedOut: "You are signed out: reload this page, sign in and call again.",
  unanswered: "The server did not answer: check that it runs, and call again.",
  failed: "The server could not begin the call: reload this page and call again; the server’s log says why.",
  unopened: "No sound could be sent to the server: a proxy on the way may not let WebSockets pass.",
  dropped: "The connection to the server was lost, and the call ended with it.",
  unplugged: "The microphone was unplugged or switched off, which ended the call.",
};
const ANSWERS_MS = 15_000;
const SETTLES_MS = 8_000;
const FLOOR_DB = -60;

class Trouble extends Error {}

const page = Object.fromEntries(
  [...document.querySelectorAll("[data-talk]")].map((element) => [element.dataset.talk, element]),
);
const words = new Words(page.words, page.empty);
let call = null;

if (!window.isSecureContext) fail(SAY.insecure);
else if (!navigator.mediaDevices?.getUserMedia || !window.AudioWorkletNode || !navigator.locks) fail(SAY.old);
else page.begin.disabled = false;
page.begin.addEventListener("click", begin);
page.hangUp.addEventListener("click", () => call?.hangUp());
page.mute.addEventListener("click", () => call?.mute(page.mute.getAttribute("aria-pressed") !== "true"));
page.keys.addEventListener("click", (event) => event.target.dataset.digit && call?.press(event.target.dataset.digit));
window.addEventListener("pagehide", () => call?.leave());
setInterval(() => call?.beganMs && (page.clock.textContent = clock(performance.now() - call.beganMs)), 250);

function begin() {
  page.begin.disabled = true; // a second click would find this tab in a call
  // One tab at a time: two would hear each other.
  navigator.locks.request("parley-test-call", { ifAvailable: true }, async (lock) => {
    page.begin.disabled = false;
    if (!lock) return fail(SAY.elsewhere);
    call = new Call();
    show("calling");
    try {
      await call.run();
    } catch (error) {
      if (!(error instanceof Trouble)) console.error(error);
      call.problem ??= error instanceof Trouble ? error.message : SAY.failed;
    } finally {
      await call.end();
      show("over");
      if (call.problem) fail(call.problem);
      call = null;
    }
  });
}

class Call {
  beganMs = 0;
  problem = null;
  #over = Promise.withResolvers();
  #dialled = null;
  #socket = null;
  #context = null;
  #microphone = null;
  #phone = null;
  #isLeaving = false;
  #isAnswered = false;

  // Call, and return when the call is over; who hangs up before it is connected waits for nothing.
  async run() {
    await Promise.race([this.#call(), this.#over.promise]);
  }

  async #call() {
    state("Waiting for the microphone …");
    await this.#openSound();
    if (this.#isLeaving) return this.end();
    state("Calling …");
    this.#dialled = await this.#dial();
    if (this.#isLeaving) return;
    const parameters = await this.#ask(this.#dialled.begin);
    if (!parameters) return;
    this.#isAnswered = true;
    if (this.#isLeaving) return this.end();
    this.#connect(parameters);
    await this.#over.promise;
  }

  hangUp() {
    state("Hanging up …");
    this.leave();
    setTimeout(this.#over.resolve, SETTLES_MS); // as a rule the server closes the socket long before
    if (!this.#socket) this.#over.resolve();
  }

  // Say goodbye to the server at once: the page may be gone the next moment.
  leave() {
    this.#isLeaving = true;
    this.#send({ event: "stop" });
  }

  mute(isMuted) {
    this.#phone?.port.postMessage({ muted: isMuted });
    page.mute.setAttribute("aria-pressed", isMuted);
    page.muteText.textContent = isMuted ? "Unmute" : "Mute";
  }

  press(digit) {
    this.#send({ event: "dtmf", digit });
  }

  async end() {
    this.#phone?.port.postMessage({ end: true });
    for (const track of this.#microphone?.getTracks() ?? []) track.stop();
    if (this.#context?.state !== "closed") await this.#context?.close();
    this.#socket?.close(1000);
    if (this.#isAnswered) await this.#ask(this.#dialled.after).catch(() => {});
  }

  async #openSound() {
    try {
      const wanted = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 };
      this.#microphone = await navigator.mediaDevices.getUserMedia({ audio: wanted });
    } catch (error) {
      throw new Trouble({ NotAllowedError: SAY.refused, NotFoundError: SAY.missing }[error.name] ?? SAY.busy);
    }
    const [track] = this.#microphone.getAudioTracks();
    track.addEventListener("ended", () => this.#fail(SAY.unplugged));
    this.#context = new AudioContext({ latencyHint: "interactive" });
    await this.#context.audioWorklet.addModule(page.root.dataset.worklet).catch(() => {
      throw new Trouble(SAY.old);
    });
    await this.#context.resume();
    const options = { numberOfInputs: 1, numberOfOutputs: 1, outputChannelCount: [1], channelCount: 1 };
    this.#phone = new AudioWorkletNode(this.#context, "phone", { ...options, channelCountMode: "explicit" });
    this.#phone.port.onmessage = ({ data }) => this.#fromPhone(data);
    this.#context.createMediaStreamSource(this.#microphone).connect(this.#phone).connect(this.#context.destination);
  }

  async #dial() {
    const form = new URLSearchParams(new FormData(page.form));
    const answer = await fetched(page.form.action, form, { Accept: "application/json" });
    if (answer.status === 401 || answer.status === 403) throw new Trouble(SAY.signedOut);
    const dialled = await answer.json().catch(() => ({}));
    if (!answer.ok) throw new Trouble(dialled.refused ?? SAY.failed);
    return dialled;
  }

  // Send a signed form; return the parameters of the stream that the answer asks for, or show what it says instead.
  async #ask(signed) {
    const answer = await fetched(signed.path, new URLSearchParams(signed.form), {
      [this.#dialled.header]: signed.signature,
    });
    const text = await answer.text();
    if (!answer.ok) throw new Trouble(reasonOf(text) ?? SAY.failed);
    const document = new DOMParser().parseFromString(text, "application/xml");
    const stream = document.querySelector("Stream");
    if (stream) {
      const parameters = [...stream.querySelectorAll("Parameter")];
      return Object.fromEntries(parameters.map((each) => [each.getAttribute("name"), each.getAttribute("value")]));
    }
    const said = document.querySelector("Say")?.textContent ?? "The call is over.";
    if (this.#isAnswered) state(said);
    else this.problem ??= said;
    return null;
  }

  #connect(parameters) {
    const address = new URL(this.#dialled.media, location.href);
    address.protocol = address.protocol.replace("http", "ws");
    const socket = new WebSocket(address);
    this.#socket = socket;
    let lost = SAY.unopened;
    socket.addEventListener("open", () => {
      lost = SAY.dropped;
      const { call_id, account } = this.#dialled;
      this.#send({ event: "start", call: call_id, account, parameters });
      this.#phone.port.postMessage({ begin: true });
      if (this.#isLeaving) this.leave();
    });
    socket.addEventListener("message", ({ data }) => this.#fromServer(JSON.parse(data)));
    socket.addEventListener("close", ({ code, reason }) => {
      if (code !== 1000 && !this.#isLeaving) this.problem ??= reason || lost;
      this.#over.resolve();
    });
  }

  #fromServer(message) {
    const { event, payload, name, ...told } = message;
    const phone = this.#phone.port;
    if (event === "media") phone.postMessage({ play: Uint8Array.from(atob(payload), (each) => each.charCodeAt(0)) });
    else if (event === "mark") phone.postMessage({ mark: name });
    else if (event === "clear") phone.postMessage({ clear: true });
    else if (told.call) this.#connected(told.call);
    else if (told.side) words.add(told);
  }

  #connected(id) {
    this.beganMs = performance.now();
    page.link.href = page.root.dataset.calls + id;
    state("Connected: speak.");
  }

  #fromPhone({ packet, played, levels }) {
    if (packet && this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(packet);
    for (const name of played ?? []) this.#send({ event: "mark", name });
    if (levels) for (const side of ["caller", "agent"]) meter(side, levels[side]);
  }

  #fail(problem) {
    this.problem ??= problem;
    this.hangUp();
  }

  #send(message) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }
}

async function fetched(address, body, headers) {
  try {
    return await fetch(address, { method: "POST", body, headers, signal: AbortSignal.timeout(ANSWERS_MS) });
  } catch {
    throw new Trouble(SAY.unanswered);
  }
}

// What a refusal says for people; undefined if it says nothing.
function reasonOf(text) {
  try {
    return JSON.parse(text).detail;
  } catch {
    return undefined;
  }
}

function meter(side, rms) {
  const level = rms ? Math.max(0, 1 - (20 * Math.log10(rms)) / FLOOR_DB) : 0;
  page[`${side}Level`].value = level;
}

function state(text) {
  page.state.textContent = text;
}

// `phase` is "calling" or "over".
function show(phase) {
  const isCalling = phase === "calling";
  page.begin.hidden = isCalling;
  page.call.hidden = !isCalling;
  if (isCalling) {
    words.clear();
    page.problem.hidden = page.link.hidden = true;
    page.link.removeAttribute("href");
    page.clock.textContent = clock(0);
    page.mute.setAttribute("aria-pressed", false);
    page.muteText.textContent = "Mute";
    page.hangUp.focus();
  } else {
    page.beginText.textContent = "Call again";
    page.link.hidden = !page.link.href;
    meter("caller", 0);
    meter("agent", 0);
    (page.link.hidden ? page.begin : page.link).focus();
  }
}

function fail(problem) {
  page.problemText.textContent = problem;
  page.problem.hidden = false;
  if (!call?.beganMs) state("");
}
