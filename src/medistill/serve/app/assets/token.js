// The token: read from the link's fragment, kept for this tab, never shown in the address bar.

import { byId } from "./element.js";

const KEY = "medistill-token";

function tokenOf(text) {
  return new URLSearchParams(text.slice(text.indexOf("#") + 1)).get("token") ?? text.trim();
}

export function token() {
  return sessionStorage.getItem(KEY);
}

/** Moves `#token=...` from the address bar into this tab's storage; whether there was one. */
export function takeToken() {
  if (!new URLSearchParams(location.hash.slice(1)).has("token")) return false;
  sessionStorage.setItem(KEY, tokenOf(location.hash));
  history.replaceState(null, "", location.pathname + location.search);
  return true;
}

/** Shows the field for the link; `refused` tells a wrong token from none. */
export function askForToken(refused) {
  sessionStorage.removeItem(KEY);
  byId("token-why").textContent =
    (refused ? "The token was not accepted. " : "") +
    "Open the address that the server printed when it started, the one that ends in #token=…, or paste it here.";
  byId("work").hidden = true;
  byId("token-form").hidden = false;
  byId("token").focus();
}

byId("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const given = tokenOf(byId("token").value);
  if (!given) return;
  sessionStorage.setItem(KEY, given);
  location.reload();
});
