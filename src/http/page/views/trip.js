// A trip: where it stands, live; its payment, flights, travellers, refunds and cancellation.

import { flight, get } from "../parts/api.js";
import { announce, busy, el, fail, keepFocus, note } from "../parts/dom.js";
import { day, flightName, moment, money, words } from "../parts/format.js";
import { watch } from "../parts/live.js";
import { company, travellers } from "../parts/party.js";
import { action, countdown, method, methods, page, pay } from "../parts/pay.js";
import { cancellation } from "./cancel.js";
import { ends } from "./results.js";
import { timeline } from "./timeline.js";

/** The view of an order by its id. */
export async function trip({ id }) {
  const parts = { state: el("div"), pay: el("div"), flights: el("div"), cancel: el("div"), timeline: el("div") };
  const title = el("h1");
  const view = el("div", { class: "trip" }, title, parts.state, parts.pay,
    el("div", { class: "columns" }, parts.flights, el("div", {}, parts.cancel, parts.timeline)));
  let before = "";
  const load = async () => {
    const order = await get(`itineraries/${id}`);
    const text = JSON.stringify(order);
    if (text === before) return;
    const bookings = await Promise.all(order.bookings.map(({ booking_id }) => get(`bookings/${booking_id}`)));
    const flights = await Promise.all(bookings.map(({ flight_id }) => flight(flight_id)));
    const isFirst = !before;
    before = text;
    title.textContent = `${flights[0].source} to ${flights.at(-1).destination}`;
    if (!isFirst) announce(headline(order)[1]);
    await keepFocus(view, title, () => show(parts, { order, bookings, flights, load, id }));
  };
  await load();
  const stop = watch(`bookings/${id}/events`, load);
  return { title: title.textContent, view, stop };
}

async function show(parts, told) {
  const { order, bookings, flights, id, load } = told;
  const url = page(order.payment, `#/trip/${id}`);
  if (url) location.assign(url);
  parts.state.replaceChildren(status(order, flights));
  parts.pay.replaceChildren(order.status === "pending" ? due(order, id, load) : "");
  parts.flights.replaceChildren(...overview(order, bookings, flights));
  const isOpen = order.status === "pending" || order.status === "completed";
  parts.cancel.replaceChildren(isOpen ? cancellation({ order, bookings, flights, load }) : "");
  parts.timeline.replaceChildren(await timeline(order));
}

/** The kind of a state, and what it means. */
function headline({ status, failure_reason, payment, refunds = [] }) {
  if (status === "completed") return ["good", "Confirmed. Have a good flight."];
  if (status === "failed") return ["bad", failure_reason === "hold_expired" ? "The time to pay has run out. No money was taken, and the seats are free again." : "The payment was declined. No money was taken."];
  if (status === "cancelled") return ["muted", refunds.length ? "Cancelled. The refund is shown below." : "Cancelled. Nothing was paid."];
  if (payment.status === "processing") return ["warn", "The payment is in progress."];
  if (payment.status === "action_required") return ["warn", "Your bank waits for your word."];
  if (payment.status === "declined") return ["bad", "The payment was declined. Your seats are still held: try another way to pay."];
  return ["warn", "Your seats are held. Pay to keep them."];
}

const STEPS = ["Held", "Paid", "Confirmed"];

/** The state, and the reference by which it is found again. */
export function status(order, flights) {
  const [kind, text] = headline(order);
  const done = order.status === "completed" ? 3 : order.payment.status === "captured" ? 2 : 1;
  const isOnItsWay = order.status === "completed" || order.status === "pending";
  return el("section", { class: `card state ${kind}`, "aria-label": "State" },
    el("div", {},
      el("p", { class: "pill" }, words(order.status)),
      el("p", { class: "headline" }, text),
      flights && el("p", { class: "muted" }, day(flights[0].timestamp))),
    el("dl", { class: "reference" }, el("dt", {}, "Reference"), el("dd", {}, order.reference)),
    isOnItsWay && el("ol", { class: "plain steps", "aria-label": "Progress" }, STEPS.map((name, at) =>
      el("li", { class: at < done ? "done" : at === done ? "next" : null, "aria-current": at === done ? "step" : null },
        name, el("span", { class: "unseen" }, at < done ? ", done" : "")))));
}

function due(order, id, load) {
  const { payment } = order;
  if (payment.status === "processing") return el("section", { class: "card paying", "aria-label": "Payment" }, el("p", { class: "loading" }, "Waiting for the payment…"));
  if (payment.status === "action_required") return el("section", { class: "card", "aria-label": "Payment" }, action(payment));
  const errors = el("div");
  const button = el("button", { class: "go" }, `Pay ${money(order.total_price, order.currency)}`);
  const form = el("form", { class: "card", "aria-labelledby": "due", onsubmit: (event) => {
    event.preventDefault();
    busy(button, async () => {
      try {
        await pay(`itineraries/${id}/payment`, method(form), `#/trip/${id}`);
        await load();
      } catch (error) {
        fail(error, errors, form);
      }
    });
  } },
    el("h2", { id: "due" }, "Payment"),
    payment.decline_reason && note("warn", `The bank says: ${words(payment.decline_reason)}.`),
    el("p", {}, "Your seats are held until ", countdown(order.hold_expires_at), "."),
    methods(), errors, el("div", { class: "actions" }, button));
  return form;
}

/** Flights, travellers and money of an order. */
export function overview(order, bookings, flights) {
  return [
    el("section", { class: "card", "aria-labelledby": "flights" }, el("h2", { id: "flights" }, flights.length > 1 ? "Flights" : "Flight"),
      el("ul", { class: "plain segments" }, flights.map((flight, at) => segment(flight, bookings[at])))),
    el("section", { class: "card", "aria-labelledby": "people" }, el("h2", { id: "people" }, "Travellers"), travellers(company(bookings))),
    el("section", { class: "card", "aria-labelledby": "money" }, el("h2", { id: "money" }, "Money"), sums(order, bookings)),
  ];
}

function segment(flight, booking) {
  const gone = (booking.booking_metadata ?? []).filter(({ status }) => status);
  return el("li", { class: booking.status === "cancelled" && "gone" },
    el("p", { class: "muted" }, `${day(flight.timestamp)} · ${flightName(flight)}`, booking.status === "cancelled" && el("span", { class: "tag" }, "Cancelled")),
    el("div", { class: "route" }, ends(flight, flight, null, 0)),
    booking.status !== "cancelled" && gone.length > 0 && el("p", { class: "muted" }, `Without ${gone.map(({ name }) => name).join(", ")}`),
    booking.was && note("warn", `The departure has moved: it was ${moment(booking.was)}.`),
    flight.flight_status === "cancelled" && note("bad", "The airline has cancelled this flight. What you paid for it comes back."));
}

function sums({ total_price, currency, refunds = [] }, bookings) {
  const row = (name, amount, tag) => el("div", {}, el("dt", {}, name, tag && el("span", { class: `tag ${tag === "Done" ? "good" : ""}` }, tag)), el("dd", {}, money(amount, currency)));
  const fee = bookings.reduce((sum, booking) => sum + booking.fee, 0);
  return el("dl", { class: "sums" }, row("Price", total_price), fee > 0 && row("Kept by the airline", fee),
    refunds.map(({ amount, status, created_at }) => row(`Refund of ${moment(created_at)}`, amount, status === "done" ? "Done" : status === "failed" ? "Delayed" : "On its way")));
}

