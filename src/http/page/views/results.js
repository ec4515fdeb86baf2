// What a search finds: ways to go, and flights to wait for.

import { el } from "../parts/dom.js";
import { between, count, date, flightName, free, money, span, time } from "../parts/format.js";

/** How many are shown at first. */
const FIRST = 12;

/** The ways to go, cheapest marked, then the flights without seats. */
export function results(itineraries, waiting, seats) {
  const lowest = Math.min(...itineraries.map(({ price }) => price));
  const cards = itineraries.map((itinerary) => card(itinerary, seats, itinerary.price === lowest && itineraries.length > 1));
  const list = el("ul", { class: "plain cards" }, cards.slice(0, FIRST));
  const more = cards.length > FIRST && el("button", { type: "button", class: "quiet", onclick: () => {
    list.append(...cards.slice(FIRST));
    cards[FIRST].querySelector("a").focus();
    more.remove();
  } }, `Show ${cards.length - FIRST} more`);
  const full = waiting.length > 0 && el("section", { "aria-labelledby": "full" },
    el("h2", { id: "full" }, "Sold out: wait in line"),
    el("p", { class: "muted" }, "Seats that come back are offered to those who wait, first come, first served."),
    el("ul", { class: "plain cards" }, waiting.map((flight) => sold(flight, seats))));
  return el("div", {}, list, more, full);
}

function card({ segments, stops, duration_minutes, price, currency, seats: left }, seats, isLowest) {
  const [first, last] = [segments[0], segments.at(-1)];
  const query = new URLSearchParams({ flights: segments.map(({ id }) => id), seats });
  const name = `${time(first.timestamp)} from ${first.source}, ${stops ? count(stops, "stop") : "direct"}, ${money(price, currency)}`;
  return el("li", { class: "card way" },
    el("div", { class: "route" }, ends(first, last, duration_minutes, stops)),
    el("div", { class: "about" },
      stops ? legs(segments) : el("p", { class: "muted" }, flightName(first)),
      left <= 5 && el("p", { class: "few" }, `Only ${count(left, "seat")} left`)),
    el("div", { class: "buy" },
      isLowest && el("span", { class: "tag good" }, "Lowest"),
      el("strong", { class: "price" }, money(price, currency)),
      el("small", {}, seats > 1 ? "each" : ""),
      el("a", { class: "button", href: `#/book?${query}`, "aria-label": `Choose ${name}` }, "Choose")));
}

function sold(flight, seats) {
  const left = free(flight);
  return el("li", { class: "card way" },
    el("div", { class: "route" }, ends(flight, flight, null, 0)),
    el("div", { class: "about" }, el("p", { class: "muted" }, flightName(flight)),
      el("p", { class: "few" }, left ? `Only ${count(left, "seat")} left` : "Sold out")),
    el("div", { class: "buy" }, el("strong", { class: "price" }, money(flight.price, flight.currency)),
      el("a", { class: "button quiet", href: `#/wait/${flight.id}?seats=${seats}`, "aria-label": `Wait in line for ${flightName(flight)} at ${time(flight.timestamp)}` }, "Wait in line")));
}

/** Departure and arrival with a line between them, a dot a stop. */
export function ends(first, last, minutes, stops) {
  const until = last.arrival_timestamp;
  const days = until ? Math.round((Date.parse(date(until)) - Date.parse(date(first.timestamp))) / 864e5) : 0;
  const took = minutes ?? (until && between(first.timestamp, until));
  return [
    el("div", { class: "end" }, el("strong", {}, time(first.timestamp)), el("span", {}, first.source)),
    el("div", { class: "line" }, el("small", {}, took ? span(took) : ""),
      el("span", { class: "track", "aria-hidden": "true" }, Array.from({ length: stops }, () => el("i"))),
      el("small", {}, stops ? count(stops, "stop") : "direct")),
    el("div", { class: "end" }, el("strong", {}, until ? time(until) : "–", days > 0 && el("sup", { title: `${count(days, "day")} later` }, `+${days}`)), el("span", {}, last.destination)),
  ];
}

/** Each flight of a way, and the time on the ground before it. */
export function legs(segments) {
  return el("ol", { class: "plain legs" }, segments.map((flight, at) => {
    const before = segments[at - 1];
    return [
      before && el("li", { class: "ground" }, `${span(between(before.arrival_timestamp, flight.timestamp))} in ${flight.source}`),
      el("li", {}, el("strong", {}, `${time(flight.timestamp)} ${flight.source}`), ` → ${flight.arrival_timestamp ? time(flight.arrival_timestamp) : ""} ${flight.destination}`, el("small", {}, flightName(flight))),
    ];
  }));
}
