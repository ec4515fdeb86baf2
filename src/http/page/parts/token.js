// Who books: the holder of a token, where callers need one; else a number that this browser keeps.

import { el, field } from "./dom.js";
import { settings } from "./format.js";

export const isNeeded = settings.auth === "jwt";
const button = document.getElementById("token");
let asking = null;

/** What the browser remembers: for this tab, or for ever. It may forbid to. */
export function recall(name, store = "localStorage") {
  try {
    return globalThis[store].getItem(name);
  } catch {
    return null;
  }
}

/** Remembers; `null` forgets. */
export function remember(name, value, store = "localStorage") {
  try {
    if (value == null) globalThis[store].removeItem(name);
    else globalThis[store].setItem(name, value);
  } catch {
    // The page works without a memory.
  }
}

let held = recall("token", "sessionStorage");

export const token = () => held;

/** Keeps a token until the tab is closed; `null` forgets it. */
export function use(value) {
  held = value;
  remember("token", value, "sessionStorage");
  show();
}

/** The user for whom to book. */
export function user() {
  if (isNeeded) return Number(claims(held).sub);
  let own = recall("user");
  if (!own) {
    const [high, low] = crypto.getRandomValues(new Uint32Array(2));
    own = String((high % 0x100000) * 0x100000000 + low + 1_000_000);
    remember("user", own);
  }
  return Number(own);
}

/** The claims of a token. Only the service checks them. */
function claims(text) {
  try {
    const [, middle] = text.split(".");
    return JSON.parse(atob(middle.replaceAll("-", "+").replaceAll("_", "/")));
  } catch {
    return {};
  }
}

/** Asks for a token. False if there is none. */
export function ask(why = "To book and to change anything the service wants to know who you are.") {
  asking ??= new Promise((resolve) => {
    const input = el("textarea", { rows: 4, required: true, autocomplete: "off", spellcheck: "false", name: "token" });
    const form = el("form", { method: "dialog" },
      el("h2", { id: "ask" }, "Your token"),
      el("p", {}, why, " This tab keeps it until it is closed."),
      field("Token", input, "A JSON Web Token of your account's issuer."),
      el("div", { class: "actions" },
        el("button", { value: "use" }, "Use it"),
        el("button", { value: "", class: "quiet", formnovalidate: true }, "Cancel")));
    const dialog = el("dialog", { "aria-labelledby": "ask", onclose: () => {
      asking = null;
      const given = dialog.returnValue === "use" && input.value.trim().replace(/^Bearer\s+/i, "");
      if (given) use(given);
      dialog.remove();
      resolve(Boolean(given));
    } }, form);
    document.body.append(dialog);
    dialog.showModal();
  });
  return asking;
}

function show() {
  button.hidden = !isNeeded;
  button.textContent = held ? "Sign out" : "Sign in";
}

button.addEventListener("click", async () => {
  if (held) use(null);
  else if (!(await ask("With a token you book, and see what is yours."))) return;
  dispatchEvent(new HashChangeEvent("hashchange"));
});
show();
