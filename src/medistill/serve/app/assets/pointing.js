// Where a phrase points in the radiograph: its heat map, drawn and said.

import { Latest } from "./ask.js";
import { byId } from "./element.js";
import { heatOf } from "./heat.js";
import { calm, say } from "./notices.js";

export class Pointing {
  #viewer;
  #asked;
  #study = null;
  #asking = new Latest(byId("heat-form"));

  /** `asked(phrase)` is called with each phrase that is looked for. */
  constructor(viewer, asked) {
    this.#viewer = viewer;
    this.#asked = asked;
    byId("heat-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.show(byId("phrase").value);
    });
    byId("heat-off").addEventListener("click", () => {
      this.#hide();
      byId("phrase").focus();
    });
    byId("opacity").addEventListener("input", () => {
      const percent = Number(byId("opacity").value);
      byId("opacity").setAttribute("aria-valuetext", `${percent} percent`);
      viewer.setOpacity(percent / 100);
    });
  }

  setStudy(study) {
    this.#study = study;
    this.#hide();
  }

  show(phrase) {
    const text = phrase.trim();
    if (!text || !this.#study) return;
    byId("phrase").value = text;
    say(`Looking for ${text} in the picture.`);
    this.#asked(text);
    this.#asking.run(
      (signal) => this.#study.ask("v1/heatmap", { text }, signal),
      (map) => this.#draw(map),
      () => this.#hide(),
    );
  }

  #draw(map) {
    this.#viewer.overlay(heatOf(map));
    byId("heat-off").hidden = byId("heat-scale").hidden = false;
    byId("heat-said").textContent = map.said;
    byId("stage").scrollIntoView({ block: "nearest" });
    say(map.said);
  }

  #hide() {
    this.#asking.stop();
    calm("heat-form");
    this.#viewer.overlay(null);
    byId("heat-off").hidden = byId("heat-scale").hidden = true;
    byId("heat-said").textContent = "";
  }
}
