// What the page says: polite lines, and errors with a way to try again.

import { byId, element } from "./element.js";

const KEPT = 4; // lines: several answers may come at once, and none may hide another from a screen reader

/** A line for screen readers; `shown` also to the eye, for what stands nowhere else on the page. Returns its end. */
export function say(text, shown = false) {
  const line = element("p", { class: shown ? "shown" : null, text });
  byId("status").append(line);
  while (byId("status").children.length > KEPT) byId("status").firstChild.remove();
  return () => line.remove();
}

/** An error in plain words about a part of the page, until that part is `calm`; `again` is run by a button. */
export function complain(error, about, again = null) {
  if (error.status === undefined) console.error(error); // a fault of the page itself
  const text = error.status === undefined ? "Something went wrong in this page. Reload it." : error.message;
  const line = element("div", { class: "alert-line", "data-about": about }, element("p", { text }));
  if (again && error.worthAnotherTry) {
    line.append(element("button", { type: "button", text: "Try again", onclick: () => { calm(about); again(); } }));
  }
  const dismiss = { type: "button", class: "plain", "aria-label": "Dismiss", text: "×", onclick: () => calm(about) };
  line.append(element("button", dismiss));
  calm(about);
  byId("alert").append(line);
}

export function calm(about) {
  for (const line of [...byId("alert").children]) {
    if (line.dataset.about === about) line.remove();
  }
}
