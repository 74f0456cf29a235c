// Words as they are spoken, in a list that grows.

export class Words {
  #list;
  #empty;
  #last = null;

  // `empty` is shown while nothing has been said.
  constructor(list, empty) {
    this.#list = list;
    this.#empty = empty;
  }

  clear() {
    this.#list.replaceChildren();
    this.#last = null;
    if (this.#empty) this.#empty.hidden = false;
  }

  // A line is {side: "caller" | "agent" | "event", at_ms, text}; the agent's text brings its own spaces.
  add(line) {
    const list = this.#list;
    const atEnd = list.scrollTop + list.clientHeight >= list.scrollHeight - 40;
    if (!this.#last || this.#last.side !== line.side || line.side === "event") this.#last = this.#append(line);
    const text = this.#last.element.querySelector(".turn-text");
    text.textContent += line.side === "caller" && text.textContent ? ` ${line.text}` : line.text;
    if (this.#empty) this.#empty.hidden = true;
    if (atEnd) list.scrollTop = list.scrollHeight;
  }

  #append(line) {
    const element = document.createElement("li");
    element.className = line.side === "event" ? "live-event text-secondary small" : `turn side-${line.side}`;
    const head = document.createElement("div");
    head.className = "turn-head";
    const names = { caller: "Caller", agent: "Agent", event: "" };
    head.append(span("turn-side", names[line.side]), span("num text-secondary", clock(line.at_ms)));
    const text = document.createElement("p");
    text.className = "turn-text";
    text.dir = "auto"; // from right to left where the words are
    element.append(head, text);
    this.#list.append(element);
    return { side: line.side, element };
  }
}

function span(name, text) {
  const element = document.createElement("span");
  element.className = name;
  element.textContent = text;
  return element;
}

export function clock(ms) {
  const seconds = Math.floor(ms / 1000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}
