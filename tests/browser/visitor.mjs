// A person at a browser who has a keyboard and no mouse.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
/** More presses of the key than any view has places. */
const TABS_MAX = 200;

export class Visitor {
  constructor(page, { name, pictures }) {
    Object.assign(this, { page, name, pictures, faults: [] });
    page.on("pageerror", (error) => this.faults.push(String(error)));
    page.on("console", (message) => {
      // Refusals of the API are part of the walks.
      const isRefusal = message.text().startsWith("Failed to load resource");
      if (message.type() === "error" && !isRefusal) this.faults.push(message.text());
    });
    page.on("request", (request) => {
      const { origin } = new URL(request.url());
      if (origin !== new URL(page.url()).origin && page.url() !== "about:blank" && origin !== "null") this.faults.push(`asked ${request.url()}`);
    });
  }

  /** Tabs to an element. */
  async to(selector) {
    const target = this.page.locator(selector).filter({ visible: true }).first();
    await target.waitFor();
    for (let tabs = 0; tabs < TABS_MAX; tabs++) {
      if (await target.evaluate((element) => element === document.activeElement)) return this.seen(selector);
      await this.page.keyboard.press("Tab");
    }
    throw new Error(`${this.name}: ${selector} can't be reached with the keyboard`);
  }

  /** What has the focus shows it. */
  async seen(selector) {
    const isSeen = await this.page.evaluate(() => {
      const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement.closest(".option") ?? document.activeElement);
      return outlineStyle !== "none" && parseFloat(outlineWidth) >= 2;
    });
    assert(isSeen, `${this.name}: ${selector} does not show that it has the focus`);
  }

  async type(selector, text) {
    await this.to(selector);
    if (await this.page.evaluate(() => document.activeElement.type !== "date")) await this.page.keyboard.press("Control+A");
    await this.page.keyboard.type(text);
  }

  async press(selector, key = "Enter") {
    await this.to(selector);
    await this.page.keyboard.press(key);
  }

  /** Goes to a radio button of a group by the arrow keys. */
  async choose(name, value) {
    await this.to(`input[name="${name}"]:checked`);
    const chosen = () => this.page.evaluate((name) => document.querySelector(`input[name="${name}"]:checked`).value, name);
    for (let steps = 0; (await chosen()) !== value; steps++) {
      assert(steps < 10, `${name} has no ${value}`);
      await this.page.keyboard.press("ArrowDown");
    }
  }

  /** Waits until the view says something. */
  async reads(text, seconds = 20) {
    await this.page.locator("main").getByText(text).filter({ visible: true }).first().waitFor({ timeout: seconds * 1000 });
  }

  /** A view is sound: no faults, no finding of axe-core in either scheme, and as wide as the screen. */
  async look(view) {
    const { page } = this;
    await page.locator("main:not([aria-busy])").waitFor();
    for (const colorScheme of ["dark", "light"]) {
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      await page.evaluate(AXE);
      const { violations } = await page.evaluate((values) => globalThis.axe.run({ runOnly: { type: "tag", values } }), RULES);
      const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join("; ")}`);
      assert.deepEqual(found, [], `${this.name}, ${view}, ${colorScheme}`);
      if (this.pictures) await page.screenshot({ path: `${this.pictures}/${view}-${this.name}-${colorScheme}.png`, fullPage: true });
    }
    const [wide, screen] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    assert(wide <= screen, `${this.name}, ${view}: ${wide} px of content on ${screen} px`);
    assert.deepEqual(this.faults, [], `${this.name}, ${view}`);
  }
}
