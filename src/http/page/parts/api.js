// Calls of the API.

import { ask, isNeeded, token } from "./token.js";

const BASE = new URL("api/v1/", document.baseURI);

/** Requests that are not answered yet keep their key, so that a repeated one books once. */
const keys = new Map();

/** A refusal or failure: RFC 9457 problem details. */
export class Problem extends Error {
  constructor(status, body) {
    super(body.detail ?? body.title ?? `The service answered ${status}.`);
    Object.assign(this, body, { status });
  }
}

/** The address of a path of the API, with the parameters that have a value. */
export function address(path, query = {}) {
  const url = new URL(path, BASE);
  for (const [name, value] of Object.entries(query)) if (value != null && value !== "") url.searchParams.set(name, value);
  return url;
}

/** The headers that every request has. */
export const headers = (others = {}) => ({ ...(token() && { authorization: `Bearer ${token()}` }), ...others });

/** Reads. */
export const get = (path, query, options) => call("GET", address(path, query), options);
/** Changes something, once however often it is sent. */
export const post = (path, body = {}, options = {}) => call("POST", address(path), { ...options, body, once: true });
/** Deletes. */
export const del = (path) => call("DELETE", address(path));

async function call(method, url, { body, once, accept = "application/json" } = {}) {
  const text = body && JSON.stringify(body);
  const name = `${url} ${text}`;
  if (once && !keys.has(name)) keys.set(name, fresh());
  for (let left = 3; ; left--) {
    const response = await send(method, url, headers({
      accept,
      ...(text && { "content-type": "application/json" }),
      ...(once && { "idempotency-key": keys.get(name) }),
    }), text, left);
    if (!response) continue;
    if (response.status === 401 && isNeeded && left && (await ask())) continue;
    keys.delete(name);
    if (response.ok) return accept === "application/json" ? response.json() : response;
    throw new Problem(response.status, await response.json().catch(() => ({})));
  }
}

/** The answer; none if the request is to be sent again. */
async function send(method, url, headers, body, left) {
  let response;
  try {
    response = await fetch(url, { method, headers, body });
  } catch {
    if (!left) throw new Problem(0, { title: "No connection", detail: "The service does not answer. Please try again." });
    return pause(1);
  }
  const isBusy = response.status === 503 || response.status === 429;
  const seconds = Number(response.headers.get("retry-after") ?? 1);
  return isBusy && left && seconds <= 5 ? pause(seconds) : response;
}

const pause = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));

// `crypto.randomUUID` is there for secure origins alone.
const fresh = () => Array.from(crypto.getRandomValues(new Uint32Array(4)), (word) => word.toString(36)).join("");

/** Flights by id. A page shows each several times. */
const known = new Map();
export async function flight(id) {
  if (!known.has(id)) known.set(id, get(`flights/${id}`).catch((error) => (known.delete(id), Promise.reject(error))));
  return known.get(id);
}
/** Reads a flight again the next time. */
export const forget = (id) => known.delete(id);
