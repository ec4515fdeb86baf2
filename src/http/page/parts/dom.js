// Elements, made of plain text alone: nothing that a server or a person typed is read as markup.

const SVG = "http://www.w3.org/2000/svg";
let ids = 0;

/** An element with attributes and children. `on…` listens; `true` is an empty attribute, `false` and `null` are none. */
export function el(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/** The same for SVG. */
export function svg(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value != null && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.flat(9).filter((child) => child != null && child !== false));
  return element;
}

/** A labelled input, with a hint that screen readers read too. */
export function field(label, input, hint) {
  input.id ||= `field-${++ids}`;
  const about = hint && el("p", { class: "hint", id: `${input.id}-hint` }, hint);
  if (about) input.setAttribute("aria-describedby", about.id);
  return el("div", { class: "field" }, el("label", { for: input.id }, label), input, about);
}

/** A choice of one: radio buttons. `choices` has a value, a label and maybe a note for each. */
export function choice(legend, name, choices, chosen = choices[0][0]) {
  const one = ([value, label, note]) =>
    el("label", { class: "option" },
      el("input", { type: "radio", name, value, checked: value === chosen }),
      el("span", {}, label, note && el("small", {}, note)));
  return el("fieldset", { class: "options" }, el("legend", {}, legend), choices.map(one));
}

/** A select box. */
export function select(attributes, choices, chosen) {
  const option = ([value, label]) => el("option", { value, selected: value === chosen }, label);
  return el("select", attributes, choices.map(option));
}

/** A message: `good`, `warn` or `bad`. What is bad interrupts a screen reader. */
export function note(kind, ...children) {
  return el("div", { class: `note ${kind}`, role: kind === "bad" ? "alert" : null }, children);
}

/** Says something to screen readers alone. */
export function announce(text) {
  const live = document.getElementById("live");
  live.textContent = "";
  setTimeout(() => (live.textContent = text), 60);
}

/** Shows why something failed. Fields that break a rule are marked, and the first one gets the focus. */
export function fail(error, place, form) {
  const marked = form ? mark(form, error.errors ?? []) : [];
  const rest = (error.errors ?? []).filter(({ pointer }) => !marked.some((input) => input.dataset.at === pointer));
  const detail = marked.length && !rest.length ? "Please look at the marked fields." : error.detail;
  place.replaceChildren(note("bad", el("strong", {}, error.title ?? "That did not work"), " ", detail ?? error.message));
  if (marked.length) marked[0].focus();
}

function mark(form, errors) {
  for (const input of form.querySelectorAll("[aria-invalid]")) {
    input.removeAttribute("aria-invalid");
    document.getElementById(`${input.id}-error`)?.remove();
  }
  const marked = errors.map(({ pointer, detail }) => {
    const input = form.querySelector(`[data-at="${CSS.escape(pointer)}"]`);
    if (!input || input.getAttribute("aria-invalid")) return null;
    input.setAttribute("aria-invalid", "true");
    input.setAttribute("aria-errormessage", `${input.id}-error`);
    input.after(el("p", { class: "error", id: `${input.id}-error` }, detail));
    return input;
  });
  return marked.filter(Boolean);
}

/** Changes a part of a view. If what had the focus goes with it, the heading gets it. */
export async function keepFocus(view, heading, change) {
  const had = view.contains(document.activeElement);
  await change();
  if (!had || view.contains(document.activeElement)) return;
  heading.tabIndex = -1;
  heading.focus({ preventScroll: true });
}

/** Runs what a button starts; meanwhile it does nothing else. */
export async function busy(button, work) {
  if (button.getAttribute("aria-disabled")) return;
  button.setAttribute("aria-disabled", "true");
  try {
    await work();
  } finally {
    button.removeAttribute("aria-disabled");
  }
}
