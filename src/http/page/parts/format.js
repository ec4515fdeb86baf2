// Amounts, times and words as people read them.

export const settings = document.documentElement.dataset;

const timeZone = settings.zone;
const style = (options) => new Intl.DateTimeFormat("en-GB", { timeZone, ...options });
const clock = style({ hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const long = style({ weekday: "short", day: "numeric", month: "short", year: "numeric" });
const short = style({ weekday: "short", day: "numeric", month: "short" });
const sorted = new Intl.DateTimeFormat("en-CA", { timeZone, year: "numeric", month: "2-digit", day: "2-digit" });

/** The hour and minute of an instant. */
export const time = (instant) => clock.format(new Date(instant));
/** The day of an instant, in words. */
export const day = (instant) => long.format(new Date(instant));
/** The day and time of an instant. */
export const moment = (instant) => `${short.format(new Date(instant))}, ${time(instant)}`;
/** The day of an instant, as `2025-01-15`. */
export const date = (instant) => sorted.format(new Date(instant));
/** A day like `2025-01-15` in words, whatever the zone. */
export const dateInWords = (text, options = { weekday: "short", day: "numeric", month: "long" }) =>
  new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", ...options }).format(new Date(`${text}T12:00:00Z`));
/** A day, so many days after another. */
export const after = (text, days) => new Date(Date.parse(`${text}T12:00:00Z`) + days * 864e5).toISOString().slice(0, 10);
/** Today. */
export const today = () => date(Date.now());

/** An amount of money. */
export function money(amount, currency, options = {}) {
  const form = { style: "currency", currency, trailingZeroDisplay: "stripIfInteger", ...options };
  return new Intl.NumberFormat("en", form).format(amount);
}

/** The exact product of a price and a number of seats. */
export const times = (price, count) => Math.round(price * 1000 * count) / 1000;

/** Minutes as `2 h 10 min`. */
export function span(minutes) {
  const hours = Math.floor(minutes / 60);
  return [hours && `${hours} h`, (minutes % 60 || !hours) && `${minutes % 60} min`].filter(Boolean).join(" ");
}

/** The minutes from one instant to another. */
export const between = (from, until) => Math.round((Date.parse(until) - Date.parse(from)) / 6e4);

/** `1 seat`, `2 seats`. */
export const count = (number, word) => `${number} ${word}${number === 1 ? "" : "s"}`;

/** A word of the wire as people write it. */
export const words = (text) => text.replaceAll(/[._-]/g, " ").replace(/^./, (first) => first.toUpperCase());

/** What a flight is called. */
export const flightName = (flight) => flight.flight_number ?? `Flight ${flight.id}`;

/** How many seats of a flight can be bought. */
export const free = (flight) => Math.max(0, flight.available_seats - flight.held_seats);
