// The reasons for one score, in words, numbers and pictures.

import { atMost, bar, element, percent, short } from "./dom.js";

const FIRST = 8;
const PICTURES = {
  sample: { table: "", image: "What you gave", video: "The frame" },
  motion: { video: "What moves in it" },
  reconstruction: { image: "What the model expected instead", video: "What it expected instead" },
  error_map: { image: "Where the two differ: the brighter, the more", video: "Where it is unusual: the brighter, the more" },
};

/** Draws the evidence of a sample into `place`. */
export function why(place, kind, type, evidence) {
  const limit = evidence.threshold === null ? "" : `, ${evidence.is_anomaly ? "above" : "below"} the limit of ${short(evidence.threshold)}`;
  place.replaceChildren(
    element("p", {}, `Its score is ${short(evidence.score)}${limit}. Of normal ${kind.many}, ${atMost(evidence.p_value)} score as high.`),
    ...seen(type, evidence),
    ...columns(evidence.contributions),
    ...memory(kind, evidence.items),
  );
}

function seen(type, evidence) {
  const shown = Object.entries(PICTURES).filter(([name, words]) => evidence[name] && words[type]);
  if (!shown.length) return [];
  return [element("div", { class: "pictures" }, ...shown.map(([name, words]) => figure(evidence[name], words[type])))];
}

function figure(address, caption) {
  return element("figure", {}, element("img", { src: address, alt: caption }), element("figcaption", {}, caption));
}

function columns(contributions) {
  if (!contributions.length) return [];
  const most = contributions[0].share || 1;
  const table = (part) => element("div", { class: "wide" }, element("table", { class: "reasons" },
    element("thead", {}, element("tr", {}, ...["Column", "Given", "Expected", "Share"].map((title) => element("th", { scope: "col" }, title)))),
    element("tbody", {}, ...part.map((each) => element("tr", {},
      element("td", {}, each.column), cell(each.value), cell(each.expected),
      element("td", { class: "share" }, percent(each.share), bar(each.share / most, true)))))));
  const rest = contributions.slice(FIRST);
  return [
    element("p", {}, "These columns have the largest share in the score: what was given there does not go together with the other columns, or lies far from all that is known. “Expected” is what the other columns lead to expect."),
    table(contributions.slice(0, FIRST)),
    ...(rest.length ? [element("details", {}, element("summary", {}, `The other ${rest.length} columns`), table(rest))] : []),
  ];
}

const cell = (value) => element("td", { class: typeof value === "number" ? "number" : null }, short(value));

function memory(kind, items) {
  if (!items.length) return [];
  const kept = items.every((item) => item.sample);
  return [element("details", {},
    element("summary", {}, "What the model remembered when it looked at this"),
    element("p", {}, kept
      ? `The model keeps normal ${kind.many} of the training. It was expected to look like these, which are nearest to it, each with its part of the answer:`
      : `The model keeps a memory of typical normal ${kind.many}. These memories answered, each with its part of the answer, and the ${kind.many} of the training that are closest to it:`),
    ...items.map((item) => element("div", {},
      element("h3", {}, `${item.sample ?? `Memory ${item.number}`}: ${percent(item.weight)} of the answer`),
      element("div", { class: "pictures small" },
        typeof item.decoded === "string" ? figure(item.decoded, "the memory") : null,
        ...item.neighbours.filter((each) => each.thumbnail).map((each) => figure(each.thumbnail, each.sample))),
      values(item.decoded),
      kept ? null : near(item.neighbours.filter((each) => !each.thumbnail)))))];
}

/** The columns of a memory that is a row. */
function values(row) {
  if (row === null || typeof row === "string") return null;
  return element("p", { class: "soft" }, Object.entries(row).map(([column, value]) => `${column} ${short(value)}`).join(", "));
}

function near(neighbours) {
  return neighbours.length ? element("p", { class: "soft" }, `Closest in the training: ${neighbours.map((each) => each.sample).join(", ")}`) : null;
}
