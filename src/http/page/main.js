// The page: its views by address, and where the focus goes.

import { announce, el, note } from "./parts/dom.js";
import { settings } from "./parts/format.js";
import { search } from "./views/search.js";

/** All views but the first are loaded once they are asked for. */
const VIEWS = [
  [/^\/$/, search],
  [/^\/book$/, later("book", "book")],
  [/^\/trip\/(\d+)$/, later("trip", "trip")],
  [/^\/wait\/(\d+)$/, later("wait", "wait")],
  [/^\/waiting\/(\d+)$/, later("wait", "waiting")],
  [/^\/find$/, later("find", "find")],
  [/^\/staff$/, later("staff", "staff")],
  [/^\/staff\/(\d+)$/, later("staff", "staffFlight")],
];

const main = document.getElementById("main");
let stop = () => {};
let shown = 0;

function later(file, name) {
  return async (told) => (await import(`./views/${file}.js`))[name](told);
}

/** Goes to a view. */
function go(path, query = {}) {
  const text = new URLSearchParams(query).toString();
  const hash = `#${path}${text && `?${text}`}`;
  if (location.hash === hash) show();
  else location.hash = hash;
}

async function show() {
  const [path, text] = (location.hash.startsWith("#/") ? location.hash.slice(1) : "/").split("?");
  const [pattern, view] = VIEWS.find(([pattern]) => pattern.test(path)) ?? [null, missing];
  const number = ++shown;
  stop();
  stop = () => {};
  let made;
  main.setAttribute("aria-busy", "true");
  try {
    made = await view({ id: pattern?.exec(path)[1], query: Object.fromEntries(new URLSearchParams(text)), go });
  } catch (error) {
    made = failed(error);
  }
  // Another view was asked for meanwhile.
  if (number !== shown) return made.stop?.();
  stop = made.stop ?? stop;
  main.replaceChildren(made.view);
  document.title = `${made.title} · Airline booking`;
  mark(path);
  await focus(made, number);
  if (number === shown) main.removeAttribute("aria-busy");
}

/** The new view's heading gets the focus, so that a screen reader reads on from there. */
async function focus({ heading = "h1", ready }, number) {
  if (number > 1) scrollTo(0, 0);
  const target = () => main.querySelector(heading) ?? main.querySelector("h1") ?? main;
  await ready;
  if (number === 1 || number !== shown) return;
  target().tabIndex = -1;
  target().focus({ preventScroll: heading === "h1" });
}

function mark(path) {
  const area = path.startsWith("/staff") ? "#/staff" : /^\/(find|trip|waiting)/.test(path) ? "#/find" : "#/";
  for (const link of document.querySelectorAll("header nav a")) {
    if (link.getAttribute("href") === area) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

function failed(error) {
  const isOurs = !error.status && error.status !== 0;
  if (isOurs) console.error(error);
  return { title: "That did not work", view: el("div", { class: "narrow" },
    el("h1", {}, error.status === 404 ? "Not found" : "That did not work"),
    note("bad", error.status === 404 ? "There is nothing here, or it is not yours." : error.detail ?? error.message),
    el("p", {}, el("a", { href: "#/" }, "To the flights"))) };
}

function missing() {
  return failed({ status: 404 });
}

document.getElementById("zone").textContent = settings.zone;
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
addEventListener("hashchange", show);
show().then(() => announce(document.title));
