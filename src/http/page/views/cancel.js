// Cancelling, in part or whole: first what comes back, then the word.

import { get, post } from "../parts/api.js";
import { announce, busy, el, fail, note } from "../parts/dom.js";
import { flightName, money } from "../parts/format.js";
import { company } from "../parts/party.js";

/** A closed drawer; once it is open, it quotes whatever is ticked. */
export function cancellation({ order, bookings, flights, load }) {
  const people = company(bookings);
  const isPaid = order.status === "completed";
  const segments = order.bookings.filter(({ status }) => status !== "cancelled").map(({ segment }) =>
    ["segments", segment, `${flights[segment - 1].source} to ${flights[segment - 1].destination} (${flightName(flights[segment - 1])})`]);
  const passengers = people.map(({ name, status }, at) => !status && ["passengers", at, name]).filter(Boolean);
  const quote = el("div", { "aria-live": "polite" });
  const errors = el("div");
  const button = el("button", { class: "danger" }, "Cancel");
  let offer;
  const ask = async () => {
    offer = null;
    const part = chosen(form, { segments, passengers });
    quote.replaceChildren(el("p", { class: "hint" }, "Tick what you want to cancel."));
    button.setAttribute("aria-disabled", "true");
    if (!part) return;
    try {
      offer = { part, ...(await get(`itineraries/${order.itinerary_id}/cancellation`, { segments: part.segments, passengers: part.passengers })) };
      quote.replaceChildren(figures(offer));
      button.textContent = isPaid ? `Cancel and get ${money(offer.refund, offer.currency)} back` : "Give the seats back";
      button.removeAttribute("aria-disabled");
    } catch (error) {
      fail(error, quote);
    }
  };
  const form = el("form", { onchange: ask, onsubmit: (event) => {
    event.preventDefault();
    if (offer) busy(button, () => confirm(order, offer, { errors, load, ask }));
  } },
    // Before the payment it is all or nothing.
    isPaid && group("Which flights?", segments), isPaid && group("Which travellers?", passengers),
    quote, errors, el("div", { class: "actions" }, button));
  return el("details", { class: "card cancel", ontoggle: (event) => event.target.open && !offer && ask() },
    el("summary", {}, el("h2", {}, isPaid ? "Cancel" : "Give the seats back")), form);
}

function group(legend, items) {
  if (items.length < 2) return null;
  return el("fieldset", {}, el("legend", {}, legend), items.map(([name, value, label]) =>
    el("label", { class: "check" }, el("input", { type: "checkbox", name, value, checked: true }), el("span", {}, label))));
}

/** What is ticked; whole lists are left out, and nothing without a tick. */
function chosen(form, lists) {
  const part = {};
  for (const [name, all] of Object.entries(lists)) {
    const boxes = [...form.querySelectorAll(`[name=${name}]`)];
    const ticked = boxes.filter(({ checked }) => checked).map(({ value }) => Number(value));
    if (boxes.length && !ticked.length) return null;
    if (ticked.length && ticked.length < all.length) part[name] = ticked;
  }
  return part;
}

function figures({ price, fee, taxes, refund, currency, rule }) {
  const row = (name, amount, kind) => el("div", { class: kind }, el("dt", {}, name), el("dd", {}, money(amount, currency)));
  if (rule === "unpaid") return el("p", {}, "Nothing was paid, so nothing comes back. The seats are free again at once.");
  return el("div", {}, el("dl", { class: "sums" }, row("Price of what you cancel", price), row("Fee", -fee), row("You get back", refund, "total")),
    el("p", { class: "hint" }, `${money(taxes, currency)} of it are taxes, which always come back. Rule: ${rule}.`));
}

async function confirm(order, { part, refund, currency, rule }, { errors, load, ask }) {
  errors.replaceChildren();
  try {
    await post(`itineraries/${order.itinerary_id}/cancel`, { ...part, ...(rule !== "unpaid" && { expected_refund: refund }) });
    announce(rule === "unpaid" ? "Cancelled." : `Cancelled. ${money(refund, currency)} come back.`);
    await load();
  } catch (error) {
    if (error.code === "refund_changed") {
      await ask();
      return errors.replaceChildren(note("warn", "What comes back has changed meanwhile. Please look again."));
    }
    fail(error, errors);
  }
}
