// Findings the reader types, and how likely the model holds each to be.

import { Latest } from "./ask.js";
import { byId, element } from "./element.js";
import { calm, complain, say } from "./notices.js";
import { scoreOf, scoreRow } from "./score.js";

const OFFERED = 8;

export class Findings extends EventTarget {
  #names = [];
  #study = null;
  #suggestions;
  #most;
  #showWhere;
  #asking = new Latest(byId("scores"));

  /** `showWhere(finding)` is called by the button of a finding. */
  constructor({ suggestions, most, showWhere }) {
    super();
    this.#suggestions = suggestions;
    this.#most = most;
    this.#showWhere = showWhere;
    byId("finding-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.add(byId("finding").value);
    });
    this.#draw();
  }

  get names() {
    return [...this.#names];
  }

  setStudy(study) {
    this.#study = study;
    this.#draw();
    this.#score();
  }

  add(text) {
    const name = text.trim().replace(/\s+/g, " ");
    const known = this.#names.some((other) => other.toLowerCase() === name.toLowerCase());
    if (name && !known && this.#names.length >= this.#most) {
      complain({ status: 0, message: `At most ${this.#most} findings at a time. Remove one first.` }, "scores");
      return;
    }
    byId("finding").value = "";
    if (!name || known) return;
    this.#names.push(name);
    this.#changed();
  }

  #remove(name) {
    this.#names = this.#names.filter((other) => other !== name);
    this.#changed();
    byId("finding").focus();
    say(`Removed ${name}.`);
  }

  #changed() {
    this.#draw();
    this.#score();
    this.dispatchEvent(new Event("change"));
  }

  #score() {
    this.#asking.stop();
    calm("scores");
    if (!this.#study || !this.#names.length) return;
    const findings = this.names;
    this.#asking.run(
      (signal) => this.#study.ask("v1/zero-shot", { findings }, signal),
      ({ scores }) => {
        this.#draw(new Map(scores.map((score) => [score.finding, score])));
        say(scores.map((score) => `${score.finding}: ${scoreOf(score).spoken}.`).join(" "));
      },
      () => this.#draw(),
    );
  }

  #draw(scores = new Map()) {
    const rows = this.#names.map((name) =>
      scoreRow(name, scores.get(name), {
        remove: () => this.#remove(name),
        showWhere: this.#study ? () => this.#showWhere(name) : null,
      }),
    );
    byId("scores").replaceChildren(...rows);
    byId("findings-state").textContent =
      this.#names.length === 0 ? "None asked for yet." : this.#study ? "" : "Open a radiograph to see their scores.";
    this.#drawSuggestions();
  }

  #drawSuggestions() {
    const taken = new Set(this.#names.map((name) => name.toLowerCase()));
    const left = this.#suggestions.filter((name) => !taken.has(name.toLowerCase()));
    byId("known-findings").replaceChildren(...left.map((value) => element("option", { value })));
    byId("suggestions").replaceChildren(
      ...left.slice(0, OFFERED).map((name) => {
        const add = () => { this.add(name); byId("finding").focus(); };
        const button = element("button", { type: "button", "aria-label": `Add ${name}`, onclick: add }, `+ ${name}`);
        return element("li", {}, button);
      }),
    );
  }
}
