// All samples as a table that can be sorted, some at a time, and as a file to keep.

import { bar, element, percent, short } from "./dom.js";

const SHOWN = 20;

/**
 * Draws the table into `place`.
 * @param kind words, see kinds.js
 * @param samples as the service scored them
 * @param pictures addresses of thumbnails by sample, or an empty map
 * @param explain called with the sample that is asked about
 */
export function list(place, kind, samples, pictures, explain) {
  const order = samples.map((_, position) => position);
  const top = samples.reduce((most, sample) => Math.max(most, sample.score), 0) || 1;
  const columns = [
    { title: capital(kind.one), key: (position) => position, down: false },
    { title: "Score", key: (position) => samples[position].score, down: true },
    { title: `Normal ${kind.many} this high`, key: (position) => samples[position].p_value, down: false, optional: true },
    { title: "Verdict", key: (position) => Number(samples[position].is_anomaly), down: true },
  ];
  let chosen = columns[1];
  let down = true;
  let count = SHOWN;

  function sort(column) {
    down = column === chosen ? !down : column.down;
    chosen = column;
    show();
    place.querySelectorAll("th button")[columns.indexOf(column)].focus();
  }

  function header(column) {
    const sorted = column === chosen ? (down ? "descending" : "ascending") : null;
    const arrow = sorted ? (down ? " ↓" : " ↑") : "";
    return element("th", { scope: "col", class: column.optional ? "optional" : null, "aria-sort": sorted },
      element("button", { type: "button", click: () => sort(column) }, column.title + arrow));
  }

  function line(position) {
    const sample = samples[position];
    const name = kind.name(sample);
    const picture = pictures.get(position);
    return element("tr", { class: sample.is_anomaly ? "unusual" : null },
      element("td", { class: "name" }, picture ? element("img", { src: picture, alt: "" }) : null, name),
      ...(sample.score === null ? [element("td", { colspan: 3 }, sample.reason)] : [
        element("td", { class: "score" }, sample.score.toPrecision(4), bar(sample.score / top)),
        element("td", { class: "number optional" }, percent(sample.p_value)),
        element("td", { class: "verdict" }, sample.is_anomaly ? "unusual" : "normal"),
      ]),
      element("td", {}, sample.score === null ? "" : element("button", { "aria-label": `Why ${name}?`, click: () => explain(sample, position) }, "Why?")));
  }

  function show() {
    const sign = down ? -1 : 1;
    order.sort((a, b) => sign * (chosen.key(a) - chosen.key(b)) || a - b);
    const more = samples.length - count;
    place.replaceChildren(
      element("div", { class: "wide" }, element("table", {},
        element("thead", {}, element("tr", {}, ...columns.map(header), element("th", { "aria-label": "reasons" }))),
        element("tbody", {}, ...order.slice(0, count).map(line)))),
      more > 0 ? element("button", { click: () => { count *= 5; show(); } }, `Show more (${more} are left)`) : "");
  }

  show();
}

const capital = (word) => word[0].toUpperCase() + word.slice(1);

/** The scores as CSV: what a sample is known by, then score, p_value and is_anomaly, as `memae score` writes them. */
export function csv(kind, samples) {
  const head = [...kind.known, "score", "p_value", "is_anomaly", ...(samples.some((sample) => sample.reason) ? ["reason"] : [])];
  const cell = (value) => {
    if (value === null || value === undefined) return "";
    const text = typeof value === "boolean" ? String(Number(value)) : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [head, ...samples.map((sample) => head.map((name) => sample[name]))].map((row) => row.map(cell).join(",") + "\n").join("");
}
