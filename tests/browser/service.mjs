// The service as the walks prepare it: flights, and what other people do on it.

import { createHmac } from "node:crypto";

export const PERSON = { name: "Asha Rao", email: "asha@example.com", phone: "1234567890", age: 34, gender: "female" };

/** A client of a service; with a token, staff. */
export class Service {
  constructor(base, secret) {
    this.base = base;
    this.token = secret && token(secret, { sub: "1", scope: "flights:write bookings:admin" });
  }

  async call(method, path, body) {
    const headers = {
      ...(body && { "content-type": "application/json" }),
      ...(this.token && { authorization: `Bearer ${this.token}` }),
    };
    const response = await fetch(`${this.base}/api/v1/${path}`, { method, headers, body: body && JSON.stringify(body) });
    const answer = await response.json();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${JSON.stringify(answer)}`);
    return answer;
  }

  get(path) {
    return this.call("GET", path);
  }

  /** A flight on a day, from one hour to another. */
  async fly(source, destination, [from, until], seats, date, price = 1234.5) {
    return this.call("POST", "flights", {
      source, destination, timestamp: `${date}T${from}:00Z`, arrival_timestamp: `${date}T${until}:00Z`,
      available_seats: seats, total_seats: seats, price, taxes: 200, fare_rules: "standard",
    });
  }

  /** Somebody else books. */
  async book(flight_id, seats_booked = 1) {
    const passenger_details = Array(seats_booked).fill(PERSON);
    return this.call("POST", "bookings", { flight_id, user_id: 7, seats_booked, passenger_details });
  }
}

/** A token of a user, for an hour. */
export function token(secret, claims) {
  const part = (data) => Buffer.from(JSON.stringify(data)).toString("base64url");
  const exp = Math.floor(Date.now() / 1000) + 3600;
  const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part({ exp, ...claims })}`;
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
}

/** A day, so many days from today. */
export const inDays = (days) => new Date(Date.now() + days * 864e5).toISOString().slice(0, 10);

/** Tries until something is as it should be. */
export async function until(what, look, seconds = 20) {
  for (const end = Date.now() + seconds * 1000; Date.now() < end; await new Promise((done) => setTimeout(done, 100))) {
    const found = await look();
    if (found) return found;
  }
  throw new Error(`${what}: not within ${seconds} s`);
}
