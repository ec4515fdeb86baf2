// A party waits for a flight without seats.

import assert from "node:assert/strict";
import { introduce, search } from "./booking.mjs";

export async function waiting(visitor, told) {
  const { page } = visitor;
  const { service, full, taken } = told;
  await search(visitor, told);
  await visitor.press(`a[href^="#/wait/${full}"]`);
  await page.locator("legend", { hasText: "Traveller 1" }).waitFor();
  await visitor.look("wait");
  await introduce(visitor, ["Meera Iyer"]);
  await visitor.press("button.go");
  await visitor.reads("You are the first in line.");
  await visitor.look("line");
  const entry = page.url().match(/waiting\/(\d+)$/)[1];
  await service.call("POST", `bookings/${taken}/cancel`, {});
  await visitor.reads("Seats for you!");
  await visitor.look("offer");
  // A card that is declined leaves the offer.
  await visitor.choose("method", "pm_card_declined");
  await visitor.press("form button.go");
  await visitor.reads("The offer still stands");
  await visitor.choose("method", "pm_card_visa");
  await visitor.press("form button.go");
  await visitor.reads("The seats are yours.");
  await visitor.look("promoted");
  const { status, booking_id } = await service.get(`waitlist/${entry}`);
  assert.equal(status, "promoted");
  await visitor.press("main a.button");
  await page.waitForURL(`**/#/trip/${booking_id}`);
  await visitor.reads("Confirmed. Have a good flight.");
}
