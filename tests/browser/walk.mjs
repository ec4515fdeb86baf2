// Walks through the page: at the width of a phone and of a desk, on a service that is open and on one that asks for
// tokens. `tests/browser/run` starts both.

import assert from "node:assert/strict";
import { chromium } from "playwright-core";
import { booking, cancelling, fares, finding } from "./booking.mjs";
import { operating, withToken } from "./others.mjs";
import { Service, inDays } from "./service.mjs";
import { Visitor } from "./visitor.mjs";
import { waiting } from "./waiting.mjs";

const { OPEN, CLOSED, SECRET, CHROMIUM, SCREENSHOTS } = process.env;
const QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

/** The phone has no server-sent events: there the page must ask. */
const SCREENS = [
  { name: "375", width: 375, height: 812, hasEvents: false },
  { name: "1280", width: 1280, height: 900, hasEvents: true },
];

/** Two flights that connect, and one with a single seat, between cities of a walk's own. */
async function prepare(service, name) {
  const date = inDays(3);
  const [from, by, to] = ["North", "Mid", "South"].map((place) => `${place} ${name}`);
  const first = await service.fly(from, by, ["08:00", "09:30"], 20, date);
  const second = await service.fly(by, to, ["11:00", "12:45"], 20, date);
  const full = await service.fly(from, to, ["15:00", "17:20"], 1, date);
  // For the month of fares.
  for (const [days, price] of [[10, 2_000], [11, 1_500], [12, 12_345]]) await service.fly(from, to, ["06:00", "08:10"], 20, inDays(days), price);
  const { booking_id: taken } = await service.book(full.id);
  return { date, from, by, to, flights: [first.id, second.id], full: full.id, taken };
}

async function visit(browser, { name, width, height, hasEvents }, base, walk) {
  const context = await browser.newContext({ viewport: { width, height }, locale: "en-GB", timezoneId: "Asia/Kolkata", baseURL: base });
  if (!hasEvents) await context.route("**/events", (route) => route.fulfill({ status: 404, body: "" }));
  const streams = [];
  if (hasEvents) context.on("response", (response) => response.url().endsWith("/events") && streams.push(response.status()));
  const open = async () => new Visitor(await context.newPage(), { name, pictures: SCREENSHOTS });
  try {
    await walk(await open(), open);
    assert(streams.every((status) => status === 200), `streams: ${streams}`);
  } catch (error) {
    for (const page of context.pages()) console.error(page.url(), await page.locator("body").innerText());
    throw error;
  }
  await context.close();
  return streams.length;
}

const browser = await chromium.launch({ executablePath: CHROMIUM, args: QUIET });
let passed = 0;
const step = async (what, work) => {
  await work();
  passed++;
  console.log(`browser: ${what}`);
};
try {
  const service = new Service(OPEN);
  for (const screen of SCREENS) {
    const told = { service, ...(await prepare(service, screen.name)) };
    let streams = 0;
    const walk = (what, walk) => step(`${what}, at ${screen.width} pixels`, async () => {
      streams += await visit(browser, screen, OPEN, (visitor, open) => walk(visitor, told, open));
    });
    await walk("chooses a day in the month of fares", fares);
    await walk("books with a connection, pays over the sandbox, sees it complete live", booking);
    await walk("finds the booking by its reference", finding);
    await walk("cancels in part with its quote", cancelling);
    await walk("waits in line and is promoted", waiting);
    await walk("looks at the flight as an operator", operating);
    assert.equal(streams > 0, screen.hasEvents, "streams are used where there are any");
  }
  const staff = new Service(CLOSED, SECRET);
  const told = { service: staff, secret: SECRET, ...(await prepare(staff, "T")) };
  await step("searches and finds without a token, acts with one", () => visit(browser, SCREENS[1], CLOSED, (visitor) => withToken(visitor, told)));
} finally {
  await browser.close();
}
console.log(`${passed} passed, 0 failed`);
