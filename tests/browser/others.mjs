// Operators, and callers who need a token.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { introduce, search } from "./booking.mjs";
import { token } from "./service.mjs";

/** The flights of a day; a flight's seats, sales and manifest. */
export async function operating(visitor, { flights, date, from, reference }) {
  const { page } = visitor;
  await page.goto(`/#/staff?date=${date}`);
  await visitor.type('input[name="source"]', from);
  await page.keyboard.press("Enter");
  const link = `a[href="#/staff/${flights[0]}"]`;
  await page.locator(link).waitFor();
  await visitor.look("staff");
  await visitor.press(link);
  await visitor.press("summary:has-text('As a table')");
  const [, sold] = await page.locator(".sales tbody tr td").allInnerTexts();
  assert(Number(sold) > 0, `${sold} seats are sold on the first day`);
  await visitor.reads("Ravi Rao");
  await visitor.reads(reference);
  await visitor.look("flight");
  const download = page.waitForEvent("download");
  await visitor.press('button:has-text("Download CSV")');
  const lines = await readFile(await (await download).path(), "utf8");
  assert(lines.startsWith("booking_id,") && lines.includes("Asha Rao"), lines);
}

/** Without a token one searches and finds; to act, the page asks for one. */
export async function withToken(visitor, told) {
  const { page } = visitor;
  const { service, secret, flights } = told;
  const { booking_id } = await service.book(flights[0]);
  const { reference } = await service.get(`bookings/${booking_id}`);
  await page.goto("/#/find");
  await visitor.type('input[name="reference"]', reference);
  await visitor.type('input[name="last_name"]', "Rao");
  await page.keyboard.press("Enter");
  await visitor.reads(reference);
  await visitor.look("found");
  await search(visitor, told);
  await visitor.press(".way a.button");
  await page.locator("legend", { hasText: "Traveller 1" }).waitFor();
  await introduce(visitor, ["Kiran Das"]);
  await visitor.press("button.go");
  await page.locator("dialog").waitFor();
  await visitor.look("token");
  await visitor.type('textarea[name="token"]', token(secret, { sub: "42" }));
  await visitor.press('dialog button[value="use"]');
  await page.waitForURL("**/#/trip/*");
  await visitor.reads("Confirmed. Have a good flight.");
  const id = page.url().match(/trip\/(\d+)$/)[1];
  assert.equal((await service.get(`bookings/${id}`)).user_id, 42);
  await page.reload();
  await visitor.reads("Confirmed. Have a good flight.");
  await visitor.press("#token");
  await page.locator("dialog").waitFor();
}
