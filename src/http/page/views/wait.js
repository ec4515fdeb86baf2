// The waiting line: joining it, one's place in it, and the offer.

import { del, flight, forget, get, post } from "../parts/api.js";
import { announce, busy, choice, el, fail, field, keepFocus, note } from "../parts/dom.js";
import { count, day, flightName, money, time, times, words } from "../parts/format.js";
import { watch } from "../parts/live.js";
import { party, passengers, size } from "../parts/party.js";
import { action, countdown, method, methods, page, pay } from "../parts/pay.js";
import { ask, isNeeded, token, user } from "../parts/token.js";
import { ends } from "./results.js";

const MODES = [["ask", "Offer them to me", "You accept and pay, or decline"], ["auto", "Buy them at once", "With the payment method that you choose now"]];

/** The view of a flight to wait for. */
export async function wait({ id, query, go }) {
  const seats = Number(query.seats ?? 1);
  forget(Number(id));
  const wanted = await flight(Number(id));
  const errors = el("div");
  const paying = el("div", { hidden: true }, methods());
  const button = el("button", { class: "go" }, "Join the line");
  const form = el("form", { onchange: () => {
    paying.hidden = new FormData(form).get("mode") !== "auto";
  }, onsubmit: (event) => {
    event.preventDefault();
    busy(button, () => join(form, { id, seats, errors, go }));
  } },
    party(seats),
    el("section", { class: "card", "aria-labelledby": "free" }, el("h2", { id: "free" }, "When seats come free"),
      choice("What then?", "mode", MODES), paying,
      field("Highest price of a seat", el("input", { type: "number", name: "max", min: 0, step: "any", inputmode: "decimal", "data-at": "/max_price" }), `In ${wanted.currency}; empty for any.`)),
    errors, el("div", { class: "actions" }, button));
  const summary = el("aside", { class: "card summary", "aria-label": "The flight" },
    el("p", { class: "muted" }, `${day(wanted.timestamp)} · ${flightName(wanted)}`),
    el("div", { class: "route" }, ends(wanted, wanted, null, 0)),
    el("p", { class: "sum" }, el("span", {}, size(seats)), el("strong", { class: "price" }, money(times(wanted.price, seats), wanted.currency))),
    el("p", { class: "hint" }, "Waiting costs nothing. Your party gets all its seats or none."));
  return { title: "Wait in line", view: el("div", {}, el("h1", {}, `Wait for ${wanted.source} to ${wanted.destination}`), el("div", { class: "columns" }, summary, form)) };
}

async function join(form, { id, seats, errors, go }) {
  errors.replaceChildren();
  const data = new FormData(form);
  const isAuto = data.get("mode") === "auto";
  try {
    if (isNeeded && !token() && !(await ask())) return;
    const entry = await post(`flights/${id}/waitlist`, {
      user_id: user(),
      seats_booked: seats,
      passenger_details: passengers(form, seats),
      mode: data.get("mode"),
      ...(isAuto && { payment_method: method(form) }),
      ...(data.get("max") && { max_price: Number(data.get("max")) }),
    });
    go(`/waiting/${entry.waitlist_id}`);
  } catch (error) {
    fail(error, errors, form);
    if (error.code === "seats_available") errors.append(note("good", el("a", { href: `#/book?flights=${id}&seats=${seats}` }, "There are seats: book them now")));
  }
}

/** The view of a place in the line, live. */
export async function waiting({ id }) {
  const place = el("div");
  const title = el("h1");
  const view = el("div", {}, title, el("div", { class: "columns" }, place));
  let [before, wanted] = ["", null];
  const load = async () => {
    const entry = await get(`waitlist/${id}`);
    wanted ??= await flight(entry.flight_id);
    const text = JSON.stringify(entry);
    if (text === before) return;
    if (before) announce(told(entry)[1]);
    before = text;
    const url = page(entry.payment, `#/waiting/${id}`);
    if (url) return location.assign(url);
    await keepFocus(view, title, () => place.replaceChildren(state(entry), ...next(entry, wanted, load)));
  };
  await load();
  title.textContent = `In line: ${wanted.source} to ${wanted.destination}`;
  place.after(el("aside", { class: "card summary", "aria-label": "The flight" },
    el("p", { class: "muted" }, `${day(wanted.timestamp)} · ${flightName(wanted)}`), el("div", { class: "route" }, ends(wanted, wanted, null, 0))));
  return { title: "In line", stop: watch(null, load), view };
}

/** The kind of a state, and what it means. */
function told({ status, reason, position, payment }) {
  if (status === "waiting") return ["warn", position.parties ? `${count(position.parties, "party").replace("partys", "parties")} with ${count(position.seats, "seat")} ${position.parties === 1 ? "is" : "are"} before you.` : "You are the first in line."];
  if (status === "offered" && payment?.status === "processing") return ["warn", "The payment is in progress."];
  if (status === "offered") return ["good", "Seats for you!"];
  if (status === "promoted") return ["good", "The seats are yours."];
  if (status === "declined") return ["muted", "The offer was declined. The seats went to those behind you."];
  if (status === "lapsed") return ["bad", `You wait no longer: ${words(reason ?? "the time is over").toLowerCase()}.`];
  return ["muted", "You have left the line."];
}

function state(entry) {
  const [kind, text] = told(entry);
  return el("section", { class: `card state ${kind}`, "aria-label": "State" }, el("div", {},
    el("p", { class: "pill" }, words(entry.status)), el("p", { class: "headline" }, text),
    el("p", { class: "muted" }, `${size(entry.seats_booked)} · since ${time(entry.created_at)}`, entry.overtaken > 0 && ` · passed over ${count(entry.overtaken, "time")}`)));
}

function next(entry, wanted, load) {
  const errors = el("div");
  const act = (event, form, work) => {
    event.preventDefault();
    busy(event.submitter ?? event.target, () => work().then(load).catch((error) => fail(error, errors, form)));
  };
  const quiet = (label, work) => el("button", { type: "button", class: "quiet", onclick: (event) => act(event, null, work) }, label);
  const { waitlist_id: id, status, payment } = entry;
  if (status === "waiting") return [errors, el("div", { class: "actions" }, quiet("Leave the line", () => del(`waitlist/${id}`)))];
  if (status === "promoted") return [el("div", { class: "actions" }, el("a", { class: "button", href: `#/trip/${entry.booking_id}` }, "To the booking"))];
  if (status !== "offered") return [el("p", {}, el("a", { href: "#/" }, "Search another way to go"))];
  if (payment?.status === "processing") return [el("p", { class: "card loading" }, "Waiting for the payment…")];
  if (payment?.status === "action_required") return [el("section", { class: "card", "aria-label": "Payment" }, action(payment))];
  const form = el("form", { class: "card", "aria-labelledby": "offer", onsubmit: (event) =>
    act(event, form, () => pay(`waitlist/${id}/accept`, method(form), `#/waiting/${id}`)) },
    el("h2", { id: "offer" }, "Accept the offer"),
    payment?.status === "declined" && note("bad", "The payment was declined. The offer still stands: try another way to pay."),
    el("p", {}, "The seats are kept for you until ", countdown(entry.offer_expires_at), "."),
    methods(), errors,
    el("div", { class: "actions" }, el("button", { class: "go" }, `Accept and pay ${money(times(wanted.price, entry.seats_booked), wanted.currency)}`),
      quiet("Decline", () => post(`waitlist/${id}/decline`))));
  return [form];
}
