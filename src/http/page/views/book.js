// Booking a party: the way to go, the travellers, and how they pay.

import { flight, forget, post } from "../parts/api.js";
import { announce, busy, choice, el, fail, note } from "../parts/dom.js";
import { count, day, money, times } from "../parts/format.js";
import { party, passengers, size } from "../parts/party.js";
import { method, methods, pay } from "../parts/pay.js";
import { ask, isNeeded, token, user } from "../parts/token.js";
import { ends, legs } from "./results.js";

const WHEN = [["now", "Pay now", "The seats are yours once the payment is through"], ["later", "Hold the seats, pay later", "They are kept for some minutes"]];

/** The view. The seats are held first and paid then, so that a declined card loses nothing. */
export async function book({ query, go }) {
  const ids = query.flights.split(",").map(Number);
  const seats = Number(query.seats ?? 1);
  ids.forEach(forget);
  const flights = await Promise.all(ids.map(flight));
  const [first, last] = [flights[0], flights.at(-1)];
  const each = flights.reduce((sum, { price }) => sum + price, 0);
  const state = { price: times(each, seats), currency: first.currency };
  const total = el("strong", { class: "price" });
  const errors = el("div");
  const paying = el("div", {}, methods());
  const button = el("button", { class: "go" });
  const show = () => {
    const isLater = new FormData(form).get("when") === "later";
    total.textContent = money(state.price, state.currency);
    paying.hidden = isLater;
    paying.querySelectorAll("input").forEach((input) => (input.disabled = isLater));
    button.textContent = isLater ? `Hold ${count(seats, "seat")}` : `Pay ${money(state.price, state.currency)}`;
  };
  const form = el("form", { onchange: show, onsubmit: (event) => {
    event.preventDefault();
    busy(button, () => place(form, { ids, seats, state, errors, show, go }));
  } },
    party(seats),
    el("section", { class: "card", "aria-labelledby": "paying" }, el("h2", { id: "paying" }, "Payment"), choice("When do you pay?", "when", WHEN), paying),
    errors, el("div", { class: "actions" }, button));
  show();
  const summary = el("aside", { class: "card summary", "aria-label": "Your choice" },
    el("p", { class: "muted" }, day(first.timestamp)),
    el("div", { class: "route" }, ends(first, last, null, flights.length - 1)),
    legs(flights),
    el("p", { class: "sum" }, el("span", {}, `${size(seats)} × ${money(each, state.currency)}`), total),
    el("p", { class: "hint" }, `Fare: ${flights.map(({ fare_rules }) => fare_rules).filter((name, at, all) => all.indexOf(name) === at).join(", ")}. What a cancellation gives back is shown before you cancel.`));
  return { title: "Book", view: el("div", {}, el("h1", {}, `${first.source} to ${last.destination}`), el("div", { class: "columns" }, summary, form)) };
}

async function place(form, { ids, seats, state, errors, show, go }) {
  errors.replaceChildren();
  try {
    if (isNeeded && !token() && !(await ask())) return;
    const order = await post("itineraries", {
      user_id: user(),
      segments: ids.map((flight_id) => ({ flight_id })),
      seats_booked: seats,
      passenger_details: passengers(form, seats),
      payment: "later",
      expected_price: state.price,
    });
    announce(`${count(seats, "seat")} held.`);
    const id = order.itinerary_id;
    if (new FormData(form).get("when") === "now") await pay(`itineraries/${id}/payment`, method(form), `#/trip/${id}`).catch(() => {});
    go(`/trip/${id}`);
  } catch (error) {
    if (error.code === "price_changed") {
      state.price = error.price;
      show();
    }
    fail(error, errors, form);
    if (error.code === "insufficient_seats") errors.append(elsewhere(ids, seats));
  }
}

function elsewhere(ids, seats) {
  return note("warn", ids.length === 1 && el("p", {}, el("a", { href: `#/wait/${ids[0]}?seats=${seats}` }, "Wait in line for this flight")),
    el("p", {}, el("a", { href: "#/" }, "Search another way to go")));
}
