// The travellers of a party.

import { el, field, select } from "./dom.js";
import { count } from "./format.js";

const GENDERS = [["female", "Female"], ["male", "Male"], ["other", "Other"], ["unstated", "Not stated"]];

/** A fieldset a traveller. All but the first may leave their contact to the first. */
export function party(seats) {
  return el("div", { class: "party" }, Array.from({ length: seats }, (_, at) => traveller(at)));
}

function traveller(at) {
  const isFirst = at === 0;
  const input = (name, others) =>
    el("input", { name: `${name}-${at}`, "data-at": `/passenger_details/${at}/${name}`, autocomplete: isFirst ? others.fill : "off", ...others });
  const contact = isFirst ? null : "Leave empty for the first traveller's.";
  return el("fieldset", { class: "card traveller" },
    el("legend", {}, `Traveller ${at + 1}`),
    field("Full name", input("name", { required: true, maxlength: 100, fill: "name" }), isFirst && "As in the passport."),
    field("E-mail", input("email", { type: "email", required: isFirst, maxlength: 254, fill: "email" }), contact),
    field("Phone", input("phone", { type: "tel", required: isFirst, minlength: 3, maxlength: 32, fill: "tel" }), contact),
    el("div", { class: "pair" },
      field("Age", input("age", { type: "number", required: true, min: 0, max: 130, inputmode: "numeric" })),
      field("Gender", select({ name: `gender-${at}`, "data-at": `/passenger_details/${at}/gender` }, GENDERS, "unstated"))));
}

/** What the form says, as requests have it. */
export function passengers(form, seats) {
  const data = new FormData(form);
  const text = (name, at) => data.get(`${name}-${at}`).trim();
  return Array.from({ length: seats }, (_, at) => ({
    name: text("name", at),
    email: text("email", at) || text("email", 0),
    phone: text("phone", at) || text("phone", 0),
    age: Number(text("age", at)),
    gender: text("gender", at),
  }));
}

/** The travellers of an order's bookings. Who is cancelled on some flights alone still travels. */
export function company(bookings) {
  const isGone = (at) => bookings.every(({ booking_metadata }) => booking_metadata?.[at]?.status);
  return (bookings[0].booking_metadata ?? []).map((person, at) => ({ ...person, status: isGone(at) ? "cancelled" : null }));
}

/** A list of travellers. */
export function travellers(list = []) {
  return el("ul", { class: "plain people" }, list.map((person) =>
    el("li", { class: person.status && "gone" },
      el("strong", {}, person.name), ` ${person.age}`, person.gender !== "unstated" && ` · ${person.gender}`, person.status && " · cancelled",
      el("small", {}, `${person.email} · ${person.phone}`))));
}

/** `2 travellers`. */
export const size = (seats) => count(seats, "traveller");
