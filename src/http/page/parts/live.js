// What is shown stays up to date: by server-sent events where the service has them, else by asking.

import { address, headers } from "./api.js";

/** Answers after which asking for events again is of no use. */
const NEVER = [400, 401, 403, 404, 405, 406];

/**
 * Calls `load` whenever what `path` names may have changed, until the returned function is called.
 * Without a path, or without events there, it asks every second at first, then every four.
 */
export function watch(path, load) {
  const stop = new AbortController();
  const began = Date.now();
  let [timer, isStreaming, isLoading, isStale] = [0, false, false, false];

  async function refresh() {
    if (isLoading) return void (isStale = true);
    [isLoading, isStale] = [true, false];
    clearTimeout(timer);
    if (!document.hidden) await load().catch(() => {});
    isLoading = false;
    if (stop.signal.aborted) return;
    if (isStale) return refresh();
    later();
  }

  function later() {
    const wait = isStreaming ? 10_000 : Date.now() - began < 30_000 ? 1_000 : 4_000;
    timer = setTimeout(refresh, wait);
  }

  async function follow() {
    let last;
    for (let failures = 0; !stop.signal.aborted; ) {
      try {
        const others = { accept: "text/event-stream", ...(last && { "last-event-id": last }) };
        const response = await fetch(address(path), { headers: headers(others), signal: stop.signal });
        if (NEVER.includes(response.status)) return;
        // The events after the last one are gone; the state tells what they did.
        if (response.status === 410) last = null;
        if (!response.ok) throw new Error();
        [isStreaming, failures] = [true, 0];
        for await (const event of events(response.body)) {
          last = event.id ?? last;
          refresh();
        }
      } catch {
        failures++;
      }
      isStreaming = false;
      if (!stop.signal.aborted) await new Promise((done) => setTimeout(done, Math.min(30, 2 ** failures) * 1000));
    }
  }

  const seen = () => document.hidden || refresh();
  document.addEventListener("visibilitychange", seen);
  stop.signal.addEventListener("abort", () => {
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", seen);
  });
  later();
  if (path) follow();
  return () => stop.abort();
}

/** The events of a `text/event-stream`: their ids. */
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let [rest, event] = ["", {}];
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + value).split(/\r?\n/);
    rest = lines.pop();
    for (const line of lines) {
      const [name, text = ""] = line.split(/: ?(.*)/s);
      if (name === "id") event.id = text;
      else if (name === "data") event.has = true;
      else if (line === "") {
        if (event.has) yield event;
        event = {};
      }
    }
  }
}
