// The month of fares: a day is a cell whose filling rises with its price.

import { get } from "../parts/api.js";
import { el, fail, svg } from "../parts/dom.js";
import { count, dateInWords, money, today } from "../parts/format.js";

const WEEK = ["Mo", "Tu", "We", "Th", "Fr", "Sa", "Su"];
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });
/** An amount that fits into a cell: `2,150`, `12.5K`. */
const short = (price) => (price < 10_000 ? whole : compact).format(price);
const STEPS = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -7, ArrowDown: 7 };

/** Shows the month of `chosen`, and others by its arrows. */
export async function calendar(place, question, chosen, choose) {
  const body = el("div");
  const details = el("details", { class: "card", open: matchMedia("(min-width: 56rem)").matches }, el("summary", {}, el("h2", { id: "month" }, "Month of fares")), body);
  place.replaceChildren(details);
  const show = async (month) => {
    try {
      const { days, currency } = await get("flights/calendar", { ...question, month });
      body.replaceChildren(head(month, show), table(days, currency, chosen, choose), legend(days, currency));
    } catch (error) {
      fail(error, body);
    }
  };
  await show(chosen.slice(0, 7));
}

function head(month, show) {
  const step = (by, label, text) => {
    const date = new Date(`${month}-15T12:00:00Z`);
    date.setUTCMonth(date.getUTCMonth() + by);
    const other = date.toISOString().slice(0, 7);
    return el("button", { type: "button", class: "quiet small", "aria-label": label, onclick: async (event) => {
      const inside = event.target.closest("details");
      await show(other);
      inside.querySelector(`[aria-label="${label}"]`)?.focus();
    } }, text);
  };
  return el("div", { class: "head" }, step(-1, "Month before", "‹"),
    el("p", { "aria-live": "polite" }, dateInWords(`${month}-15`, { month: "long", year: "numeric" })), step(1, "Month after", "›"));
}

function table(days, currency, chosen, choose) {
  const prices = days.map(({ price }) => price).filter((price) => price != null);
  const [low, high] = [Math.min(...prices), Math.max(...prices)];
  const cells = days.map((day) => cell(day, { currency, low, high, isChosen: day.date === chosen, choose }));
  const before = (new Date(`${days[0].date}T12:00:00Z`).getUTCDay() + 6) % 7;
  const all = [...Array.from({ length: before }, () => el("td")), ...cells];
  const rows = Array.from({ length: Math.ceil(all.length / 7) }, (_, at) => el("tr", {}, all.slice(at * 7, at * 7 + 7)));
  return el("table", { class: "fares", onkeydown: (event) => walk(event, cells) },
    el("caption", { class: "unseen" }, "The lowest price of each day. Arrow keys go from day to day."),
    el("thead", {}, el("tr", {}, WEEK.map((name) => el("th", { scope: "col" }, name)))),
    el("tbody", {}, rows));
}

function cell({ date, price, flights }, { currency, low, high, isChosen, choose }) {
  const number = Number(date.slice(8));
  if (price == null) return el("td", { class: date < today() ? "past" : "none" }, el("span", { class: "day" }, number), el("span", { class: "unseen" }, "no flights"));
  // From a fifth of the cell to four fifths.
  const height = high > low ? 0.2 + (0.6 * (price - low)) / (high - low) : 0.35;
  const month = dateInWords(date, { month: "long" });
  const button = el("button", { type: "button", class: price === low ? "low" : null, "aria-pressed": String(isChosen), onclick: () => choose(date) },
    svg("svg", { viewBox: "0 0 1 1", preserveAspectRatio: "none", "aria-hidden": "true" }, svg("rect", { y: 1 - height, width: 1, height })),
    el("span", { class: "day" }, number, el("span", { class: "unseen" }, ` ${month}, from`)),
    el("span", { class: "fare" }, short(price), el("span", { class: "unseen" }, ` ${currency}, ${count(flights, "flight")}`)));
  return el("td", {}, button);
}

function walk(event, cells) {
  const step = STEPS[event.key];
  const at = cells.findIndex((cell) => cell.contains(document.activeElement));
  if (!step || at < 0) return;
  event.preventDefault();
  for (let to = at + step; cells[to]; to += step) {
    const button = cells[to].querySelector("button");
    if (button) return button.focus();
  }
}

function legend(days, currency) {
  const open = days.filter(({ price }) => price != null);
  if (!open.length) return el("p", { class: "muted" }, "No direct flights in this month.");
  const low = Math.min(...open.map(({ price }) => price));
  const best = open.filter(({ price }) => price === low);
  const where = best.length > 3 ? `${best.length} days` : best.map(({ date }) => dateInWords(date, { day: "numeric", month: "short" })).join(", ");
  return el("p", { class: "hint" }, el("span", { class: "key", "aria-hidden": "true" }), `Lowest: ${money(low, currency)} on ${where}. Direct flights, one traveller.`);
}
