// Requests to this server: token, patience while it is busy, errors in plain words.

import { calm, complain, say } from "./notices.js";
import { askForToken, token } from "./token.js";

const TRIES = 4;
const LONGEST_WAIT = 20; // seconds, whatever the server asks for

/** An answer other than 2xx, or none (status 0). */
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }

  get worthAnotherTry() {
    return [0, 408, 429, 503].includes(this.status);
  }
}

function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal?.addEventListener("abort", () => { clearTimeout(timer); reject(signal.reason); }, { once: true });
  });
}

async function once(path, options, signal, sent) {
  const headers = { ...options.headers };
  if (sent !== null) headers.Authorization = `Bearer ${sent}`;
  try {
    return await fetch(path, { ...options, headers, signal, credentials: "omit", cache: "no-store" });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Refused(0, "The server does not answer. Check that it is still running, then try again.");
  }
}

function sentence(line) {
  return line.charAt(0).toUpperCase() + line.slice(1) + (/[.!?]$/.test(line) ? "" : ".");
}

async function refusal(answer, sent) {
  if (answer.status === 401) {
    askForToken(sent !== null);
    return new Refused(401, "The server asks for its token.");
  }
  if (answer.status === 429 || answer.status === 503) {
    return new Refused(answer.status, "The server is busy. Wait a moment, then try again.");
  }
  const told = await answer.json().catch(() => null); // a proxy's error page is no JSON
  return new Refused(answer.status, sentence(told?.error ?? `the server refused the request (${answer.status})`));
}

/** The response, once the server has time for it: while it is busy, asks again after the time it names. */
export async function ask(path, options = {}, signal = undefined, why = "The server is busy.") {
  const sent = token();
  for (let tried = 1; ; tried++) {
    const answer = await once(path, options, signal, sent);
    if (answer.ok) return answer;
    const busy = answer.status === 429 || answer.status === 503;
    if (!busy || tried === TRIES) throw await refusal(answer, sent);
    const named = Number(answer.headers.get("Retry-After")) || 2 ** (tried - 1);
    const seconds = Math.min(named, LONGEST_WAIT) + Math.random() / 2; // so that many pages do not come back at once
    const unsay = say(`${why} Trying again in ${Math.ceil(seconds)} s.`, true);
    await pause(seconds, signal).finally(unsay);
  }
}

export async function askJson(path, body, signal) {
  const options = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  return (await ask(path, options, signal)).json();
}

/** Runs one task at a time for a region of the page: a newer one ends the older, whose answer is dropped. */
export class Latest {
  #region;
  #current = null;

  constructor(region) {
    this.#region = region;
  }

  /** `show` gets the answer of `task(signal)`; `clear` removes what an error has made untrue. */
  async run(task, show, clear) {
    this.stop();
    const mine = (this.#current = new AbortController());
    const isLatest = () => this.#current === mine;
    this.#region.setAttribute("aria-busy", "true");
    try {
      const answer = await task(mine.signal);
      if (!isLatest()) return;
      calm(this.#region.id);
      show(answer);
    } catch (error) {
      if (!isLatest()) return;
      clear();
      complain(error, this.#region.id, () => this.run(task, show, clear));
    } finally {
      if (isLatest()) this.stop();
    }
  }

  stop() {
    this.#current?.abort();
    this.#current = null;
    this.#region.setAttribute("aria-busy", "false");
  }
}
