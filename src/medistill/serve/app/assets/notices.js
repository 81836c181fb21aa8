// What the page says: a polite line, an error with a way to try again.

import { byId, element } from "./element.js";

/** A line for screen readers; `shown` also to the eye, for what stands nowhere else on the page. */
export function say(text, shown = false) {
  byId("status").textContent = text;
  byId("status").classList.toggle("shown", shown);
}

/** An error in plain words; `again` is run by the button beside it. */
export function complain(error, again = null) {
  if (error.status === undefined) console.error(error); // a fault of the page itself
  const text = error.status === undefined ? "Something went wrong in this page. Reload it." : error.message;
  const line = element("p", { class: "alert-line" }, element("span", { text }));
  if (again && error.worthAnotherTry) {
    line.append(element("button", { type: "button", text: "Try again", onclick: () => { calm(); again(); } }));
  }
  line.append(element("button", { type: "button", class: "plain", "aria-label": "Dismiss", text: "×", onclick: calm }));
  say("");
  byId("alert").replaceChildren(line);
}

export function calm() {
  byId("alert").replaceChildren();
}
