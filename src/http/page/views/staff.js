// Operations: the flights of a day; a flight's seats, sales and manifest.

import { address, flight, forget, get, headers } from "../parts/api.js";
import { busy, el, fail, field, note, select } from "../parts/dom.js";
import { bar, sales, table } from "../parts/chart.js";
import { day, flightName, free, money, time, today, words } from "../parts/format.js";
import { watch } from "../parts/live.js";

const STATUSES = [["", "All"], ["pending", "Pending"], ["completed", "Completed"], ["failed", "Failed"], ["cancelled", "Cancelled"]];

/** The view of a day's flights. */
export async function staff({ query, go }) {
  const asked = { date: today(), ...query };
  const form = el("form", { class: "card ops", onsubmit: (event) => {
    event.preventDefault();
    go("/staff", Object.fromEntries([...new FormData(form)].filter(([, value]) => value)));
  } },
    field("Day", el("input", { type: "date", name: "date", required: true, max: "9999-12-31", value: asked.date })),
    field("From", el("input", { name: "source", value: asked.source, maxlength: 100 })),
    field("To", el("input", { name: "destination", value: asked.destination, maxlength: 100 })),
    el("button", { class: "go" }, "Show"));
  const { flights, next_cursor } = await get("flights", { ...asked, limit: 100 });
  const rows = flights.map((flight) => [
    time(flight.timestamp), el("a", { href: `#/staff/${flight.id}` }, flightName(flight)), `${flight.source} → ${flight.destination}`,
    words(flight.flight_status), `${free(flight)} of ${flight.total_seats}`, money(flight.price, flight.currency)]);
  return { title: "Operations", view: el("div", {}, el("h1", {}, "Operations"), form,
    flights.length ? table(["Departs", "Flight", "Route", "Status", "Free", "Price"], rows, `Flights of ${asked.date}`) : note("warn", "No flights on this day."),
    next_cursor && el("p", { class: "hint" }, "The first hundred are shown: name a city to see the others.")) };
}

/** The view of a flight, live. */
export async function staffFlight({ id }) {
  const seats = el("div");
  const head = el("p", { class: "muted" });
  const load = async () => {
    forget(Number(id));
    const now = await flight(Number(id));
    head.textContent = `${day(now.timestamp)}, ${time(now.timestamp)} · ${words(now.flight_status)} · ${money(now.price, now.currency)} · fare ${now.fare_rules}`;
    const sold = now.total_seats - now.blocked_seats - now.available_seats;
    const parts = [["Sold", sold, "sold"], ["Held", now.held_seats, "held"], ["Free", free(now), "free"], ["Sold elsewhere", now.blocked_seats, "blocked"]];
    seats.replaceChildren(bar(parts.filter(([, number], at) => number || at < 3), "Seats"));
    return now;
  };
  const shown = await load();
  const place = el("div");
  const filter = select({ name: "status" }, STATUSES, "");
  const list = () => manifest(id, filter.value, place);
  filter.addEventListener("change", list);
  const section = (name, title, ...children) => el("section", { class: "card", "aria-labelledby": name }, el("h2", { id: name }, title), children);
  const figures = await days(id);
  await list();
  return { title: flightName(shown), stop: watch(`flights/${id}/events`, load), view: el("div", { class: "flight" },
    el("p", {}, el("a", { href: `#/staff?date=${shown.timestamp.slice(0, 10)}` }, "‹ Flights of the day")),
    el("h1", {}, `${flightName(shown)}: ${shown.source} to ${shown.destination}`), head,
    el("div", { class: "columns even" }, section("seats", "Seats", seats), section("sales", "Sales by day", figures)),
    section("manifest", "Manifest", el("div", { class: "head" }, field("Status", filter), csv(id)), place)) };
}

async function days(id) {
  try {
    const { days } = await get(`flights/${id}/sales`);
    return days.length ? sales(days) : el("p", { class: "muted" }, "Nothing is sold yet.");
  } catch (error) {
    return el("p", { class: "muted" }, error.detail ?? error.message);
  }
}

async function manifest(id, status, place, cursor, earlier = []) {
  try {
    const { bookings, next_cursor } = await get(`flights/${id}/bookings`, { status, cursor, limit: 50 });
    const rows = [...earlier, ...bookings.flatMap(lines)];
    const more = next_cursor && el("button", { type: "button", class: "quiet", onclick: (event) => busy(event.target, () => manifest(id, status, place, next_cursor, rows)) }, "Show more");
    place.replaceChildren(rows.length ? table(["Reference", "Booking", "Name", "Contact", "Age", "Status"], rows, "Passengers of this flight") : el("p", { class: "muted" }, "No bookings."), more || "");
  } catch (error) {
    fail(error, place);
  }
}

function lines({ reference, booking_id, id, status, booking_metadata = [] }) {
  return booking_metadata.map((person) => [
    el("strong", { class: "code" }, reference), booking_id ?? id, person.name, `${person.email} ${person.phone}`, person.age,
    el("span", { class: `tag ${status === "completed" && !person.status ? "good" : ""}` }, words(person.status ?? status))]);
}

/** The manifest for a spreadsheet. */
function csv(id) {
  return el("button", { type: "button", class: "quiet", onclick: (event) => busy(event.target, async () => {
    const response = await fetch(address(`flights/${id}/bookings`, { limit: 1000 }), { headers: headers({ accept: "text/csv" }) });
    if (!response.ok) return;
    const href = URL.createObjectURL(await response.blob());
    el("a", { href, download: `flight-${id}.csv` }).click();
    setTimeout(() => URL.revokeObjectURL(href), 1000);
  }) }, "Download CSV");
}
