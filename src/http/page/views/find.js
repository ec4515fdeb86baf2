// My booking: by its reference and a last name, or from the list of what this user has booked.

import { flight, get, post } from "../parts/api.js";
import { busy, el, fail, field, note } from "../parts/dom.js";
import { day, money, words } from "../parts/format.js";
import { isNeeded, token, user } from "../parts/token.js";
import { overview, status } from "./trip.js";

/** The view. */
export async function find({ go }) {
  const errors = el("div");
  const place = el("div");
  const button = el("button", { class: "go" }, "Find");
  const form = el("form", { class: "card narrow", onsubmit: (event) => {
    event.preventDefault();
    busy(button, () => look(form, { errors, place, go }));
  } },
    field("Reference", el("input", { name: "reference", required: true, maxlength: 20, class: "code", autocomplete: "off", autocapitalize: "characters", spellcheck: "false", "data-at": "/reference" }), "Six letters and digits, as K7MQ2X."),
    field("Last name", el("input", { name: "last_name", required: true, maxlength: 100, autocomplete: "family-name", "data-at": "/last_name" }), "Of any traveller of the booking."),
    errors, el("div", { class: "actions" }, button));
  return { title: "My booking", view: el("div", {}, el("h1", {}, "My booking"), el("div", { class: "columns" }, el("div", {}, form, place), await own())) };
}

async function look(form, { errors, place, go }) {
  errors.replaceChildren();
  place.replaceChildren();
  const { reference, last_name } = Object.fromEntries(new FormData(form));
  try {
    const booking = await post("bookings/find", { reference: reference.trim(), last_name });
    if (!isNeeded || token()) return go(`/trip/${booking.itinerary_id}`);
    place.replaceChildren(await shown(booking, go));
    place.querySelector("h2").focus();
  } catch (error) {
    if (error.status !== 404) return fail(error, errors, form);
    errors.replaceChildren(note("bad", "There is no such booking. Please look at the reference and the last name again."));
  }
}

/** What is found is shown without a token. To act, one is asked for. */
async function shown(booking, go) {
  const flights = [await flight(booking.flight_id)];
  const order = { ...booking, total_price: booking.booking_price, currency: flights[0].currency };
  return el("div", { class: "trip" },
    el("h2", { tabindex: -1 }, `${flights[0].source} to ${flights[0].destination}`),
    status(order, flights), ...overview(order, [booking], flights),
    el("div", { class: "actions" }, el("button", { type: "button", class: "quiet", onclick: () => go(`/trip/${booking.itinerary_id}`) }, "Pay, change or cancel: sign in")));
}

async function own() {
  if (isNeeded && !token()) return null;
  const { bookings } = await get(`users/${user()}/bookings`, { limit: 20 }).catch(() => ({ bookings: [] }));
  const first = bookings.filter(({ segment }) => segment === 1).slice(0, 8);
  if (!first.length) return null;
  const flights = await Promise.all(first.map(({ flight_id }) => flight(flight_id)));
  return el("section", { "aria-labelledby": "own" }, el("h2", { id: "own" }, isNeeded ? "Your trips" : "Booked in this browser"),
    el("ul", { class: "plain cards" }, first.map((booking, at) => row(booking, flights[at]))));
}

function row({ itinerary_id, reference, status, booking_price }, { source, timestamp, currency }) {
  return el("li", { class: "card own" },
    el("a", { href: `#/trip/${itinerary_id}` }, el("strong", { class: "code" }, reference), ` from ${source}`),
    el("span", { class: "muted" }, `${day(timestamp)} · ${money(booking_price, currency)}`),
    el("span", { class: `tag ${status === "completed" ? "good" : ""}` }, words(status)));
}
