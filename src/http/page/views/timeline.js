// What happened to an order, newest last.

import { get } from "../parts/api.js";
import { el } from "../parts/dom.js";
import { moment, money, words } from "../parts/format.js";

const WORDS = {
  held: "Seats held",
  "payment.requested": "Payment begun",
  "payment.captured": "Paid",
  "payment.declined": "Payment declined",
  "payment.reversed": "Payment returned",
  completed: "Confirmed",
  failed: "Ended without a payment",
  cancelled: "Cancelled",
  changed: "Moved to another flight",
  "passenger.changed": "Traveller corrected",
  "passenger.cancelled": "Traveller cancelled",
  "refund.requested": "Refund begun",
  "refund.done": "Refunded",
  "refund.failed": "Refund delayed",
  "flight.moved": "Departure moved",
};

/** The timelines of all its bookings as one. What happened to all of them is told once. */
export async function timeline(order) {
  const lists = await Promise.all(order.bookings.map(({ booking_id }) => get(`bookings/${booking_id}/timeline`)));
  const events = new Map(lists.flatMap(({ events }) => events).map((event) => [JSON.stringify(event), event]));
  const sorted = [...events.values()].sort((one, other) => Date.parse(one.at) - Date.parse(other.at));
  return el("section", { class: "card", "aria-labelledby": "timeline" }, el("h2", { id: "timeline" }, "What happened"),
    el("ol", { class: "plain timeline" }, sorted.map((event) => entry(event, order.currency))));
}

function entry({ at, type, amount, departs_at }, currency) {
  const kind = /failed|declined/.test(type) ? "bad" : /completed|captured|done/.test(type) ? "good" : null;
  return el("li", { class: kind },
    el("span", {}, WORDS[type] ?? words(type), amount != null && ` · ${money(amount, currency)}`, departs_at && ` to ${moment(departs_at)}`),
    el("time", { datetime: at }, moment(at)));
}
