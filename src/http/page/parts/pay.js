// Paying: the methods, the request, and the time that is left.

import { post } from "./api.js";
import { choice, el, field } from "./dom.js";
import { recall, remember } from "./token.js";
import { settings, time } from "./format.js";

/** The methods of the simulated gateway. No money moves. */
const METHODS = [
  ["pm_card_visa", "Card", "Paid at once"],
  ["pm_card_3ds", "Card with 3-D Secure", "Your bank asks you first"],
  ["pm_upi", "UPI", "You approve it in your app"],
  ["pm_card_declined", "A card that is declined", "To see what happens then"],
];

/** A choice of methods; with another gateway the token that it gave for one. */
export function methods() {
  if (settings.gateway === "simulated") {
    return el("div", {}, choice("How do you pay?", "method", METHODS),
      el("p", { class: "hint" }, "A simulated payment gateway: no money moves."));
  }
  const input = el("input", { name: "method", required: true, maxlength: 64, value: "pm_card_visa", "data-at": "/payment_method" });
  return field("Payment method", input, "The payment provider's token of it.");
}

/** The chosen method. */
export const method = (form) => new FormData(form).get("method");

/** Begins a payment. `path` ends with `/payment` or `/accept`; the payer comes back to `back`. */
export async function pay(path, payment_method, back) {
  remember("payer", back, "sessionStorage");
  return post(path, { payment_method, return_url: `${location.pathname}${back}` });
}

/** Where the payer must go, if this tab began the payment and has not shown it yet. */
export function page(payment, back) {
  if (payment?.status !== "action_required" || recall("payer", "sessionStorage") !== back) return null;
  remember("payer", null, "sessionStorage");
  return payment.next_action?.type === "redirect" ? payment.next_action.url : null;
}

/** What the payer must do. */
export function action({ next_action }) {
  if (next_action?.type === "redirect") {
    return el("div", {},
      el("p", {}, "Your bank wants you to confirm the payment."),
      el("a", { class: "button", href: next_action.url }, "Go to your bank"));
  }
  return el("p", {}, "Confirm the payment where your payment provider asks you to.");
}

/** The time until an instant. Screen readers read the instant, and not each second. */
export function countdown(until) {
  const left = el("span", { class: "left", "aria-hidden": "true" });
  const show = () => {
    const seconds = Math.max(0, Math.round((Date.parse(until) - Date.now()) / 1000));
    left.textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")} left`;
    if (left.isConnected || seconds === 0) setTimeout(() => left.isConnected && show(), 1000);
  };
  setTimeout(show);
  return el("span", {}, time(until), " ", left);
}
