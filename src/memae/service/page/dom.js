// Elements without strings of HTML: what comes from a file is always text.

export const byId = (id) => document.getElementById(id);

/** An element with attributes and children; a function as attribute listens to that event. */
export function element(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/** The same for SVG. */
export function drawn(name, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function filled(made, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(key, value);
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** A bar that is full at 1. */
export function bar(share, unusual = false) {
  const inside = element("span");
  inside.style.width = `${100 * Math.min(Math.max(share, 0), 1)}%`;
  return element("div", { class: unusual ? "bar unusual" : "bar", "aria-hidden": "true" }, inside);
}

/** A number with three or four digits that count. */
export function short(value) {
  if (typeof value !== "number") return value === null || value === undefined ? "missing" : String(value);
  if (Number.isInteger(value) && Math.abs(value) < 1e6) return String(value);
  const size = Math.abs(value);
  return size >= 1e6 || (size < 1e-3 && size > 0) ? value.toExponential(2) : String(Number(value.toPrecision(4)));
}

/** A share as a percentage. */
export function percent(share) {
  return share > 0 && share < 0.001 ? "under 0.1 %" : `${Number((100 * share).toPrecision(share < 0.1 ? 2 : 3))} %`;
}

/** A p-value as a percentage: what was never seen among n is not more than 1 of n + 1. */
export function atMost(share) {
  return share < 0.001 ? percent(share) : `at most ${percent(share)}`;
}
