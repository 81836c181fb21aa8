// Light or dark: as the system says, until the switch says otherwise.

import { byId } from "./element.js";

const KEY = "medistill-theme";
const dark = matchMedia("(prefers-color-scheme: dark)");

function shown() {
  return localStorage.getItem(KEY) ?? (dark.matches ? "dark" : "light");
}

function apply() {
  const other = shown() === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = shown();
  byId("theme").textContent = other === "dark" ? "◐ Dark" : "◑ Light";
  byId("theme").setAttribute("aria-label", `${other === "dark" ? "Dark" : "Light"} colors`);
}

byId("theme").addEventListener("click", () => {
  localStorage.setItem(KEY, shown() === "dark" ? "light" : "dark");
  apply();
});
dark.addEventListener("change", apply);
apply();
