// A call in progress: words as they are spoken, and the time running.

const list = document.getElementById("live-words");
if (list) follow(list);

function follow(list) {
  const empty = document.getElementById("live-empty");
  const source = new EventSource(list.dataset.live);
  let last = null;
  source.addEventListener("beginning", () => {
    list.replaceChildren(); // what was said so far comes again after the line was cut
    last = null;
  });
  source.addEventListener("message", (message) => {
    const line = JSON.parse(message.data);
    const atEnd = list.scrollTop + list.clientHeight >= list.scrollHeight - 40;
    if (!last || last.side !== line.side || line.side === "event") last = append(list, line);
    const text = last.element.querySelector(".turn-text");
    text.textContent += line.side === "caller" && text.textContent ? ` ${line.text}` : line.text;
    if (empty) empty.hidden = true;
    if (atEnd) list.scrollTop = list.scrollHeight;
  });
  source.addEventListener("over", () => source.close());
  run(document.getElementById("live-clock"));
}

function append(list, line) {
  const element = document.createElement("li");
  element.className = line.side === "event" ? "live-event text-secondary small" : `turn side-${line.side}`;
  const head = document.createElement("div");
  head.className = "turn-head";
  const names = { caller: "Caller", agent: "Agent", event: "" };
  head.append(span("turn-side", names[line.side]), span("num text-secondary", clock(line.at_ms)));
  const text = document.createElement("p");
  text.className = "turn-text";
  element.append(head, text);
  list.append(element);
  return { side: line.side, element };
}

function span(name, text) {
  const element = document.createElement("span");
  element.className = name;
  element.textContent = text;
  return element;
}

function clock(ms) {
  const seconds = Math.floor(ms / 1000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

function run(output) {
  const began = performance.now() - Number(output.dataset.ms);
  const show = () => (output.textContent = clock(performance.now() - began));
  show();
  setInterval(show, 500);
}
