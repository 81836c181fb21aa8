// Search of past cases: by the radiograph, by words, or by both.

import { askJson, Latest } from "./ask.js";
import { byId } from "./element.js";
import { Filters } from "./filters.js";
import { hitRow } from "./hit.js";
import { calm, say } from "./notices.js";

const SHOWN = 10;

const ways = () => [...byId("search-form").elements.by];

export class Cases {
  #study = null;
  #index;
  #open;
  #phrase = null;
  #filters;
  #asking = new Latest(byId("hits"));
  #pictures = new AbortController();
  #urls = new Map();

  /** `open(case)` shows a case in the viewer. */
  constructor({ index, open }) {
    this.#index = index;
    this.#open = open;
    this.#filters = new Filters(index);
    this.#listen();
    this.setStudy(null);
  }

  setStudy(study) {
    this.#study = study;
    for (const way of ways()) way.disabled = study === null && way.value !== "text";
    if (study === null) this.#by = "text";
    else if (this.#by === "text" && !this.#words) this.#by = "image";
    this.search();
  }

  /** Marks what the reports say about a phrase, or nothing for null, while no words are given. */
  markFor(phrase) {
    if (phrase === this.#phrase) return;
    this.#phrase = phrase;
    if (this.#by === "image" && this.#study) this.search();
  }

  get #by() {
    return byId("search-form").elements.by.value;
  }

  set #by(way) {
    byId("search-form").elements.by.value = way;
    byId("weight-line").hidden = way !== "both";
  }

  get #words() {
    return byId("query").value.trim();
  }

  #listen() {
    byId("search-form").addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.#words && this.#by === "image") this.#by = "both"; // typed words are never ignored
      this.search();
    });
    for (const way of ways()) {
      way.addEventListener("change", () => {
        this.#by = way.value;
        if (way.value !== "image" && !this.#words) byId("query").focus();
        this.search();
      });
    }
    byId("weight").addEventListener("input", () => {
      const image = Number(byId("weight").value);
      byId("weight").setAttribute("aria-valuetext", `${image} percent image, ${100 - image} percent text`);
    });
    byId("weight").addEventListener("change", () => this.search());
    this.#filters.addEventListener("change", () => this.search());
  }

  /** The request, or a line that says what is missing. */
  #request() {
    const by = this.#by;
    if (by !== "image" && !this.#words) {
      return this.#study ? "Type words to search by." : "Open a radiograph, or type words to search by.";
    }
    const text = by === "image" ? this.#phrase : this.#words; // with the weight 1 a text marks and does not find
    const weight = { image: 1, text: 0, both: Number(byId("weight").value) / 100 }[by];
    return { text, weight, k: SHOWN + 1, filters: this.#filters.value, per_patient: true };
  }

  search() {
    const request = this.#request();
    if (typeof request === "string") {
      this.#clear(request);
      return;
    }
    const alone = this.#by === "text";
    byId("cases-state").textContent = "Searching …";
    this.#asking.run(
      (signal) => (alone ? askJson("v1/search", { of: null, ...request }, signal) : this.#study.ask("v1/search", request, signal)),
      ({ hits }) => this.#show(request.text, hits.filter((hit) => hit.case !== this.#study?.reference.case).slice(0, SHOWN)),
      () => this.#clear(""),
    );
  }

  #clear(state) {
    this.#asking.stop();
    calm("hits");
    this.#replace([]);
    byId("cases-state").textContent = state;
  }

  #show(text, hits) {
    const marked = text ? `; marked: ${text}` : "";
    const state = hits.length
      ? `${hits.length} nearest of ${this.#index.images.toLocaleString("en")} images, one a patient${marked}`
      : "No case passes the filters.";
    byId("cases-state").textContent = state;
    this.#replace(hits);
    say(`Past cases: ${state}`);
  }

  #replace(hits) {
    this.#pictures.abort();
    this.#pictures = new AbortController();
    const kept = new Set(hits.map((hit) => hit.case));
    for (const [id, url] of this.#urls) {
      if (kept.has(id)) continue;
      URL.revokeObjectURL(url);
      this.#urls.delete(id);
    }
    const options = { open: this.#open, manySources: this.#index.sources.length > 1, signal: this.#pictures.signal, urls: this.#urls };
    byId("hits").replaceChildren(...hits.map((hit, i) => hitRow(hit, i + 1, options)));
  }
}
