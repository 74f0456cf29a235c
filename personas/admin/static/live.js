// A call in progress: words as they are spoken, and the time running.

import { Words, clock } from "./words.js";

const list = document.getElementById("live-words");
if (list) follow(list);

function follow(list) {
  const words = new Words(list, document.getElementById("live-empty"));
  const source = new EventSource(list.dataset.live);
  source.addEventListener("beginning", () => words.clear()); // what was said comes again after the line was cut
  source.addEventListener("message", (message) => words.add(JSON.parse(message.data)));
  source.addEventListener("over", () => source.close());
  run(document.getElementById("live-clock"));
}

function run(output) {
  const began = performance.now() - Number(output.dataset.ms);
  const show = () => (output.textContent = clock(performance.now() - began));
  show();
  setInterval(show, 500);
}
