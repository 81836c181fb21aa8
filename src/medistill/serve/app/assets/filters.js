// Which past cases may be found: by view, sex, age and label.

import { byId, element } from "./element.js";

function boxes(id, values) {
  const set = byId(id);
  set.hidden = values.length === 0;
  for (const value of values) {
    set.append(element("label", { class: "tick" }, element("input", { type: "checkbox", value }), element("span", { text: value })));
  }
}

const ticked = (id) => [...byId(id).querySelectorAll("input:checked")].map((box) => box.value);
const age = (id) => (byId(id).value === "" ? null : Math.min(120, Math.max(0, Number(byId(id).value))));

export class Filters extends EventTarget {
  constructor({ views, sexes, findings }) {
    super();
    boxes("filter-views", views);
    boxes("filter-sexes", sexes);
    boxes("filter-labels", findings);
    byId("filters").addEventListener("change", () => this.#changed());
    byId("filters-clear").addEventListener("click", () => {
      for (const box of byId("filters").querySelectorAll("input")) {
        if (box.type === "checkbox") box.checked = false;
        else box.value = "";
      }
      this.#changed();
    });
    byId("filters").addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.target.type !== "number") return;
      event.preventDefault(); // Enter in an age applies the filter, not the words of the search
      event.target.blur();
      event.target.focus();
    });
  }

  /** As /v1/search takes them. */
  get value() {
    return {
      views: ticked("filter-views"),
      sexes: ticked("filter-sexes"),
      ages: [age("age-from"), age("age-to")],
      labels: ticked("filter-labels"),
    };
  }

  get count() {
    const { views, sexes, ages, labels } = this.value;
    return views.length + sexes.length + labels.length + (ages.some((limit) => limit !== null) ? 1 : 0);
  }

  #changed() {
    byId("filter-count").textContent = this.count ? `(${this.count})` : "";
    this.dispatchEvent(new Event("change"));
  }
}
