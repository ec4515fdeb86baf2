// A trip is booked, paid, found and cancelled.

import assert from "node:assert/strict";
import { inDays, until } from "./service.mjs";

/** A day as it is typed into a field: headless Chromium's are those of American English. */
const typed = (date) => date.replace(/^(\d+)-(\d+)-(\d+)$/, "$2$3$1");

/** Searches for the way with a connection. */
export async function search(visitor, { from, to, date }, seats = 1) {
  await visitor.page.goto("/");
  await visitor.look("search");
  await visitor.type('input[name="from"]', from);
  await visitor.type('input[name="to"]', to);
  await visitor.type('input[name="date"]', typed(date));
  await visitor.type('input[name="seats"]', String(seats));
  await visitor.page.keyboard.press("Enter");
  await visitor.reads(`1 way to go`);
}

/** Fills in the travellers. */
export async function introduce(visitor, names) {
  for (const [at, name] of names.entries()) {
    await visitor.type(`input[name="name-${at}"]`, name);
    if (at === 0) {
      await visitor.type('input[name="email-0"]', "asha@example.com");
      await visitor.type('input[name="phone-0"]', "+91 98 7654 3210");
    }
    await visitor.type(`input[name="age-${at}"]`, String(34 - at * 30));
  }
}

/** From a day to one with another fare, by the arrow keys. */
export async function fares(visitor, { from, to }) {
  const { page } = visitor;
  const [day, other] = [inDays(10), inDays(11)];
  // Two days of one month, in either direction.
  const [start, step, end] = day.slice(0, 7) === other.slice(0, 7) ? [day, "ArrowRight", other] : [inDays(12), "ArrowLeft", other];
  await page.goto(`/#/?${new URLSearchParams({ from, to, date: start, seats: 1, sort: "price" })}`);
  await visitor.reads("1 way to go");
  if (!(await page.locator(".fares").isVisible())) await visitor.press(".month summary");
  await visitor.look("fares");
  await visitor.to('.fares button[aria-pressed="true"]');
  await page.keyboard.press(step);
  await page.keyboard.press("Enter");
  await page.waitForURL(`**date=${end}**`);
  await visitor.reads("1 way to go");
}

export async function booking(visitor, told, open) {
  const { page } = visitor;
  await search(visitor, told, 2);
  await visitor.look("results");
  await visitor.press(".way a.button");
  await page.getByRole("heading", { name: "Traveller 2" }).or(page.locator("legend", { hasText: "Traveller 2" })).first().waitFor();
  await visitor.look("book");
  await introduce(visitor, ["Asha Rao", "Ravi Rao"]);
  await visitor.choose("method", "pm_card_3ds");
  await visitor.press("button.go");
  // The page of the test bank, to which the payment led.
  await page.waitForURL("**/sandbox/pay/**");
  const [mine] = await told.service.get(`flights/${told.flights[0]}/bookings`).then(({ bookings }) => bookings);
  const id = mine.itinerary_id;
  const other = await open();
  await other.page.goto(`/#/trip/${id}`);
  await other.reads("Your bank waits for your word.");
  await other.look("action");
  let loads = 0;
  other.page.on("load", () => loads++);
  await visitor.press('button[value="approved"]');
  await other.reads("Confirmed. Have a good flight.");
  assert.equal(loads, 0, "the other window was loaded again");
  await page.waitForURL(`**/#/trip/${id}`);
  await visitor.reads("Confirmed. Have a good flight.");
  await visitor.look("trip");
  const order = await told.service.get(`itineraries/${id}`);
  assert.equal(order.status, "completed");
  assert.equal(order.bookings.length, 2);
  assert.equal(order.total_price, 4938);
  Object.assign(told, { id, reference: order.reference });
}

export async function finding(visitor, { id, reference }) {
  const { page } = visitor;
  await page.goto("/#/find");
  await visitor.type('input[name="reference"]', reference.toLowerCase());
  await visitor.type('input[name="last_name"]', "Nobody");
  await page.keyboard.press("Enter");
  await visitor.reads("There is no such booking.");
  await visitor.look("find");
  await visitor.type('input[name="last_name"]', "rao");
  await page.keyboard.press("Enter");
  await page.waitForURL(`**/#/trip/${id}`);
  await visitor.reads(reference);
}

/** Gives back one traveller's seat on the second flight. */
export async function cancelling(visitor, { service, id }) {
  const { page } = visitor;
  await page.goto(`/#/trip/${id}`);
  await visitor.press(".cancel summary");
  await visitor.press('input[name="segments"][value="1"]', "Space");
  await visitor.press('input[name="passengers"][value="0"]', "Space");
  const quote = await service.get(`itineraries/${id}/cancellation?segments=2&passengers=1`);
  assert(quote.refund > 0 && quote.fee > 0, JSON.stringify(quote));
  const amount = new Intl.NumberFormat("en", { style: "currency", currency: quote.currency, trailingZeroDisplay: "stripIfInteger" }).format(quote.refund);
  await page.getByRole("button", { name: `Cancel and get ${amount} back` }).waitFor();
  await visitor.look("cancel");
  await visitor.press(".cancel button.danger");
  await visitor.reads("Refund of");
  const { status, refunds } = await service.get(`itineraries/${id}`);
  assert.deepEqual([status, refunds.map(({ amount }) => amount)], ["completed", [quote.refund]]);
  await until("the refund is shown as done", () => page.getByText("Done").filter({ visible: true }).count());
  await visitor.look("refunded");
}
