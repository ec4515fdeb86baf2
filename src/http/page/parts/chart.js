// Charts as SVG. Each has its figures as text beside it, for those who can't see it.

import { el, svg } from "./dom.js";
import { dateInWords } from "./format.js";

/** A bar of parts: `[label, number, class]`. */
export function bar(parts, label) {
  const total = parts.reduce((sum, [, number]) => sum + number, 0) || 1;
  let x = 0;
  const piece = ([, number, kind]) => {
    const width = (number / total) * 100;
    x += width;
    return svg("rect", { class: kind, x: x - width, width, height: 1 });
  };
  return el("figure", { class: "seats" },
    svg("svg", { viewBox: "0 0 100 1", preserveAspectRatio: "none", role: "img", "aria-label": `${label}: ${parts.map(([name, number]) => `${name} ${number}`).join(", ")}` }, parts.map(piece)),
    el("ul", { class: "plain keys" }, parts.map(([name, number, kind]) => el("li", {}, el("span", { class: `key ${kind}`, "aria-hidden": "true" }), name, " ", el("strong", {}, number)))));
}

const [HEIGHT, LEFT] = [180, 30];

/** Seats sold (up) and returned (down) of each day. */
export function sales(days) {
  // Texts are as large on a phone as at a desk.
  const wide = matchMedia("(min-width: 40rem)").matches ? 540 : 320;
  const high = Math.max(1, ...days.map(({ sold }) => sold));
  const low = Math.max(...days.map(({ returned }) => returned), 0);
  const unit = HEIGHT / (high + low);
  const zero = high * unit;
  const step = (wide - LEFT) / days.length;
  const width = Math.min(28, step * 0.7);
  const bars = days.map(({ date, sold, returned }, at) => {
    const x = LEFT + at * step + (step - width) / 2;
    return svg("g", {}, svg("title", {}, `${dateInWords(date)}: ${sold} sold, ${returned} returned`),
      svg("rect", { class: "sold", x, y: zero - sold * unit, width, height: sold * unit, rx: 2 }),
      svg("rect", { class: "returned", x, y: zero, width, height: returned * unit, rx: 2 }));
  });
  const every = Math.ceil(days.length / (wide / 60));
  const labels = days.map(({ date }, at) => at % every === 0 && svg("text", { x: LEFT + at * step + step / 2, y: HEIGHT + 18, "text-anchor": "middle" }, dateInWords(date, { day: "numeric", month: "short" })));
  const rule = (y, text) => [svg("line", { x1: LEFT, x2: wide, y1: y, y2: y }), svg("text", { x: LEFT - 6, y: y + 4, "text-anchor": "end" }, text)];
  return el("figure", { class: "sales" },
    svg("svg", { viewBox: `0 -8 ${wide} ${HEIGHT + 32}`, role: "img", "aria-label": "Seats sold and returned by day; the table below has the figures" },
      rule(zero - high * unit, high), rule(zero, 0), low > 0 && rule(HEIGHT, -low), bars, labels),
    el("ul", { class: "plain keys" }, el("li", {}, el("span", { class: "key sold", "aria-hidden": "true" }), "Sold"), el("li", {}, el("span", { class: "key returned", "aria-hidden": "true" }), "Returned")),
    el("details", {}, el("summary", {}, "As a table"), table(["Day", "Sold", "Returned"], days.map(({ date, sold, returned }) => [dateInWords(date), sold, returned]), "Seats sold and returned by day")));
}

/** A table in a box that scrolls, by keyboard too. */
export function table(heads, rows, caption) {
  return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
    el("table", { class: "data" }, el("caption", { class: "unseen" }, caption),
      el("thead", {}, el("tr", {}, heads.map((head) => el("th", { scope: "col" }, head)))),
      el("tbody", {}, rows.map((cells) => el("tr", {}, cells.map((cell) => el("td", {}, cell)))))));
}
