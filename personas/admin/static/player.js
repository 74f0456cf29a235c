// The recording of a call: two tracks, and the turns that follow it.
// Without this script the page keeps the browser's own player, and the turns still read.

const player = document.getElementById("player");
if (player) start(player);

async function start(player) {
  const audio = document.getElementById("audio");
  const turns = [...document.querySelectorAll(".turn")].map((element) => ({
    element,
    start: Number(element.dataset.start) / 1000,
    end: Number(element.dataset.end) / 1000,
  }));
  followTurns(audio, turns);
  wireSeeking(audio, turns);
  try {
    const [{ default: WaveSurfer }, answer] = await Promise.all([
      import(player.dataset.wavesurfer),
      fetch(player.dataset.peaks),
    ]);
    if (!answer.ok) throw new Error(`peaks: ${answer.status}`);
    const peaks = await answer.json();
    player.querySelector(".tracks").hidden = false;
    player.querySelector(".controls").hidden = false;
    await draw(WaveSurfer, player, audio, peaks);
    player.classList.add("ready");
    wireControls(player, audio);
  } catch (error) {
    player.querySelector(".tracks").hidden = true;
    player.querySelector(".controls").hidden = true;
    const note = document.getElementById("player-error");
    note.textContent = "The picture of the recording can't be shown; the plain player works.";
    note.hidden = false;
    console.warn(error);
  }
}

function draw(WaveSurfer, player, audio, peaks) {
  const wave = WaveSurfer.create({
    container: "#wave",
    media: audio,
    peaks: [peaks.caller, peaks.agent],
    duration: length(player, audio),
    cspNonce: player.dataset.styleNonce,
    normalize: true,
    maxPeak: Math.max(0.1, ...peaks.caller, ...peaks.agent), // one scale for both tracks
    dragToSeek: true,
    cursorWidth: 2,
    ...colours(),
  });
  document.addEventListener("parley:theme", () => wave.setOptions(colours()));
  return new Promise((resolve, reject) => {
    wave.once("ready", resolve);
    wave.once("error", reject);
  });
}

function colours() {
  const style = getComputedStyle(document.documentElement);
  const channel = (name) => {
    const colour = style.getPropertyValue(name).trim();
    return { waveColor: colour + "80", progressColor: colour, height: 56, barWidth: 2, barGap: 1, barRadius: 2 };
  };
  return { splitChannels: [channel("--caller"), channel("--agent")], cursorColor: style.getPropertyValue("--tblr-body-color") };
}

function wireControls(player, audio) {
  const play = document.getElementById("play");
  const clock = document.getElementById("clock");
  const speed = document.getElementById("speed");
  const show = () => {
    player.classList.toggle("playing", !audio.paused);
    play.setAttribute("aria-label", audio.paused ? "Play" : "Pause");
    clock.textContent = `${stamp(audio.currentTime)} / ${stamp(length(player, audio))}`;
  };
  const toggle = () => (audio.paused ? audio.play() : audio.pause());
  const skip = (seconds) => { audio.currentTime = Math.min(length(player, audio), Math.max(0, audio.currentTime + seconds)); };
  for (const event of ["play", "pause", "ended", "timeupdate", "durationchange", "seeked"]) audio.addEventListener(event, show);
  play.addEventListener("click", toggle);
  speed.addEventListener("change", () => { audio.playbackRate = Number(speed.value); });
  for (const button of player.querySelectorAll("[data-skip]")) {
    button.addEventListener("click", () => skip(Number(button.dataset.skip) / 1000));
  }
  document.addEventListener("keydown", (event) => {
    if (event.target.closest("input, select, textarea, button, summary, a, audio") || event.ctrlKey || event.metaKey || event.altKey) return;
    const act = { " ": toggle, k: toggle, ArrowLeft: () => skip(-5), ArrowRight: () => skip(5) }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
  show();
}

// The recording is not fetched before it is played: until then the length is the call's.
function length(player, audio) {
  return audio.duration || Number(player.dataset.lengthMs) / 1000;
}

function wireSeeking(audio, turns) {
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-seek]");
    if (button) {
      audio.currentTime = Number(button.dataset.seek) / 1000;
      audio.play().catch(() => {}); // a browser may refuse; the place is set all the same
    }
    const quote = event.target.closest("a.quote-link");
    const turn = quote && turns.find(({ element }) => `#${element.id}` === quote.hash);
    if (turn) audio.currentTime = turn.start;
  });
}

function followTurns(audio, turns) {
  const mark = () => {
    for (const { element, start, end } of turns) {
      element.classList.toggle("current", audio.currentTime > 0 && start <= audio.currentTime && audio.currentTime < end);
    }
  };
  audio.addEventListener("timeupdate", mark);
  audio.addEventListener("seeked", mark);
}

function stamp(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  const whole = Math.floor(seconds);
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return h ? `${h}:${String(m).padStart(2, "0")}:${String(s).padStart(2, "0")}` : `${m}:${String(s).padStart(2, "0")}`;
}
