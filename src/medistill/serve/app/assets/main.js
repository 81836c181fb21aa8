// The page: opens a radiograph and lets its parts work on it.

import { ask, Latest } from "./ask.js";
import { Cases } from "./cases.js";
import { byId, element } from "./element.js";
import { Findings } from "./findings.js";
import { pictureButton } from "./hit.js";
import { complain, say } from "./notices.js";
import { Pointing } from "./pointing.js";
import { Study } from "./study.js";
import { askForToken, takeToken, token } from "./token.js";
import { Viewer } from "./viewer.js";
import "./theme.js";

const MEBI = 2 ** 20;

function tell(about) {
  byId("notice-long").textContent = about.notice;
  const name = about.model.sha256 ? `Model ${about.model.sha256.slice(0, 12)}` : "A foreign model";
  byId("model").textContent = `${name}, ${about.model.dim} dimensions`;
  const images = about.index ? `${about.index.images.toLocaleString("en")} past images` : "no past cases";
  byId("served").textContent = `${images}${about.phantoms ? ", phantoms: drawn, not taken" : ""}`;
  byId("file-hint").textContent =
    `PNG, JPEG or DICOM, up to ${Math.floor(about.limits.bytes / MEBI)} MiB. ` +
    "It is kept in this server's memory for some minutes, and nowhere else.";
}

function showExamples(ids, open) {
  byId("examples").hidden = ids.length === 0;
  const { signal } = new AbortController();
  const buttons = ids.map((id, i) =>
    element("li", {}, pictureButton(id, { name: `Example ${i + 1}`, alt: "", onclick: () => open(id), signal, urls: new Map() })),
  );
  byId("example-list").replaceChildren(...buttons);
}

function listenForFiles(openFile) {
  byId("file").addEventListener("change", () => {
    const [file] = byId("file").files;
    if (file) openFile(file);
    byId("file").value = ""; // so that the same file can be chosen again
  });
  const dragging = (yes) => document.body.classList.toggle("dragging", yes);
  addEventListener("dragover", (event) => { event.preventDefault(); dragging(true); });
  addEventListener("dragleave", (event) => { if (!event.relatedTarget) dragging(false); });
  addEventListener("drop", (event) => {
    event.preventDefault();
    dragging(false);
    const [file] = event.dataTransfer.files;
    if (file) openFile(file);
  });
}

function start(about) {
  const viewer = new Viewer();
  const pointing = new Pointing(viewer, (phrase) => cases?.markFor(phrase));
  const findings = new Findings({
    suggestions: about.suggestions,
    most: about.limits.findings,
    showWhere: (finding) => pointing.show(finding),
  });
  const opening = new Latest(byId("stage"));

  const shown = (study) => {
    viewer.open(study.film);
    byId("film-facts").textContent = study.film.facts;
    say(`Radiograph opened: ${study.film.facts}.`);
    pointing.setStudy(study);
    findings.setStudy(study);
    cases?.setStudy(study);
  };
  const open = (read) => {
    say("Opening the radiograph.");
    opening.run(read, shown, () => {});
  };
  const openCase = (id) => {
    byId("stage").scrollIntoView({ block: "nearest" });
    open((signal) => Study.ofCase(id, signal));
  };
  const openFile = (file) => {
    if (file.size > about.limits.bytes) {
      complain({ status: 413, message: `${file.name || "The file"} is larger than ${Math.floor(about.limits.bytes / MEBI)} MiB, the most this server takes.` }, "stage");
    } else open((signal) => Study.ofFile(file, signal));
  };

  const cases = about.index && new Cases({ index: about.index, open: openCase });
  if (cases) findings.addEventListener("change", () => cases.markFor(findings.names.at(-1) ?? null));
  else {
    byId("search-form").hidden = true;
    byId("cases-state").textContent = "This server was started without an index of past cases (--index).";
  }
  showExamples(about.examples, openCase);
  listenForFiles(openFile);
}

/** What is served; a server that has just been started is waited for. */
async function askAbout() {
  for (;;) {
    try {
      return await (await ask("v1/about", {}, undefined, "The server is loading its model.")).json();
    } catch (error) {
      if (error.status !== 503) throw error;
    }
  }
}

async function load() {
  takeToken();
  addEventListener("hashchange", () => { if (takeToken()) location.reload(); }); // another link in the same tab
  try {
    const about = await askAbout();
    tell(about);
    if (about.token_required && token() === null) askForToken(false);
    else start(about);
    document.body.dataset.ready = "";
  } catch (error) {
    complain(error, "page", () => location.reload());
  }
}

load();
