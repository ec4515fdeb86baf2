// The search: its form, what it finds, and the month of fares beside it.

import { get } from "../parts/api.js";
import { announce, el, fail, field, note, select } from "../parts/dom.js";
import { after, dateInWords, settings, today } from "../parts/format.js";
import { isNeeded, recall, remember } from "../parts/token.js";
import { calendar } from "./calendar.js";
import { results } from "./results.js";

const SORTS = [["departure", "Earliest first"], ["price", "Cheapest first"], ["duration", "Shortest first"]];

/** The view. Its question is in the address, so that it can be kept and sent. */
export async function search({ query, go }) {
  const asked = { ...JSON.parse(recall("search") ?? "{}"), ...query };
  const found = el("section", { class: "found", "aria-labelledby": "found" });
  const month = el("section", { class: "month", "aria-labelledby": "month" });
  const view = el("div", {}, el("h1", {}, "Where to?"), form(asked, go), el("div", { class: "columns" }, month, found));
  if (!query.from) {
    view.lastChild.replaceWith(tips());
    return { title: "Flights", view };
  }
  const question = { source: query.from, destination: query.to, seats: query.seats ?? 1 };
  const choose = (date) => go("/", { ...query, date });
  return { title: `${query.from} to ${query.to}`, view, heading: "#found", ready: Promise.all([
    show(found, question, query, choose),
    calendar(month, question, query.date, choose),
  ]) };
}

function tips() {
  const tip = (title, text) => el("li", { class: "card" }, el("h2", {}, title), el("p", { class: "muted" }, text));
  return el("ul", { class: "plain tips" },
    tip("Direct or with a stop", "Connections are held and paid together, and the month of fares shows the lowest price of each day."),
    tip("Hold now, pay later", "Seats are kept for some minutes. A card that is declined loses nothing."),
    tip("Sold out?", "Wait in line: seats that come back are offered to you, for a price that you name."));
}

function form(asked, go) {
  const city = (name, value, hint) => el("input", { name, value, required: true, maxlength: 100, list: "cities", placeholder: hint, autocomplete: "off", autocapitalize: "words", spellcheck: "false" });
  const min = today();
  const date = asked.date >= min ? asked.date : after(min, 1);
  const form = el("form", { class: "card search", role: "search", "aria-label": "Flights", onsubmit: (event) => {
    event.preventDefault();
    const { from, to, ...rest } = Object.fromEntries(new FormData(form));
    const question = { from: from.trim(), to: to.trim(), ...rest };
    remember("search", JSON.stringify(question));
    go("/", question);
  } },
    field("From", city("from", asked.from, "Delhi")),
    field("To", city("to", asked.to, "Mumbai")),
    el("button", { type: "button", class: "quiet swap", "aria-label": "Swap the cities", onclick: () => {
      [form.from.value, form.to.value] = [form.to.value, form.from.value];
      announce(`From ${form.from.value} to ${form.to.value}`);
    } }, "⇄"),
    field("Day", el("input", { type: "date", name: "date", required: true, max: "9999-12-31", value: date })),
    field("Travellers", el("input", { type: "number", name: "seats", required: true, min: 1, max: settings.party, value: asked.seats ?? 1, inputmode: "numeric" })),
    field("Order", select({ name: "sort" }, SORTS, asked.sort)),
    el("button", { class: "go" }, "Search"),
    el("datalist", { id: "cities" }));
  suggest(form.querySelector("datalist"), date);
  return form;
}

/** Cities of a day's flights, where the list of flights is open to everybody. */
let cities;
async function suggest(list, date) {
  if (isNeeded) return;
  cities ??= get("flights", { date, limit: 400 }).catch(() => ({ flights: [] }));
  const { flights } = await cities;
  const names = new Set(flights.flatMap((flight) => [flight.source, flight.destination]));
  list.append(...[...names].sort().map((value) => el("option", { value })));
}

async function show(place, question, { date, sort }, choose) {
  const heading = el("h2", { id: "found", tabindex: -1 }, dateInWords(date));
  place.replaceChildren(heading, el("p", { class: "loading" }, "Searching…"));
  const seats = Number(question.seats);
  try {
    const [{ itineraries }, all] = await Promise.all([
      get("itineraries/search", { ...question, date, sort, limit: 60 }),
      get("flights/search", { ...question, date, include_sold_out: true }),
    ]);
    const waiting = all.flights.filter((flight) => flight.waitlist);
    const list = results(itineraries, waiting, seats);
    const summary = itineraries.length ? `${itineraries.length} ${itineraries.length === 1 ? "way" : "ways"} to go` : "No free seats on this day";
    announce(`${summary} on ${dateInWords(date)}`);
    const days = el("nav", { class: "days", "aria-label": "Other days" },
      el("button", { type: "button", class: "quiet small", onclick: () => choose(after(date, -1)) }, "‹ Day before"),
      el("button", { type: "button", class: "quiet small", onclick: () => choose(after(date, 1)) }, "Day after ›"));
    place.replaceChildren(el("div", { class: "head" }, el("div", {}, heading, el("p", { class: "muted" }, summary)), days),
      itineraries.length || waiting.length ? list : note("warn", "Nothing flies here on this day. Choose another one in the month of fares, or with the arrows above."));
  } catch (error) {
    place.replaceChildren(heading, el("div"));
    fail(error, place.lastChild);
  }
}

