// The reasons for one score, in words, numbers and pictures.

import { atMost, bar, element, percent, short } from "./dom.js";

const FIRST = 8;
const PICTURES = {
  sample: { table: "", image: "What you gave", video: "The frame" },
  motion: { video: "What moves in it" },
  reconstruction: { image: "What the model expected instead", video: "What it expected instead" },
  error_map: { image: "Where the two differ: the brighter, the more", video: "Where it is unusual: the brighter, the more" },
};

const PHOTO = { sample: "What you gave", error_map: "Where it is unlike normal ones" };

/** Draws the evidence of a sample into `place`. */
export function why(place, kind, type, evidence) {
  const limit = evidence.threshold === null ? "" : `, ${evidence.is_anomaly ? "above" : "below"} the limit of ${short(evidence.threshold)}`;
  place.replaceChildren(
    element("p", {}, `Its score is ${short(evidence.score)}${limit}. Of normal ${kind.many}, ${atMost(evidence.p_value)} score as high.`),
    ...(isPhoto(evidence) ? photo(kind, evidence) : seen(type, evidence)),
    ...columns(evidence.contributions),
    ...(isPhoto(evidence) ? compared(kind, evidence.items) : memory(kind, evidence.items)),
  );
}

/** A picture without a reconstruction: a photo or a frame, which was compared with places of normal ones. */
const isPhoto = (evidence) => Boolean(evidence.sample) && !evidence.reconstruction;

function photo(kind, { regions, ...evidence }) {
  const calm = evidence.is_anomaly ? "" : ` The score, which also counts all other places and ${kind.around}, is one of a normal ${kind.one}.`;
  const highest = regions[0];
  const at = highest && `rows ${highest.top} to ${highest.bottom - 1}, columns ${highest.left} to ${highest.right - 1}`;
  const rare = highest && "p_value" in highest ? `; of normal ${kind.many}, ${atMost(highest.p_value)} have a place as unusual` : "";
  const told = !highest ? `No single place is more unusual than the most unusual one of most normal ${kind.many}.`
    : regions.length === 1 ? `One place stands out: ${at}${rare}.${calm}`
    : `${regions.length} places stand out, most of all ${at}${rare}.${calm}`;
  return [
    element("p", {}, told),
    element("div", { class: "pictures photo" }, ...Object.entries(PHOTO).map(([name, words]) => figure(evidence[name], words))),
  ];
}

/** The most unusual places of a photo or a frame, each beside the place in a normal one that is most like it. */
function compared(kind, items) {
  if (!items.length) return [];
  return [
    element("h3", {}, "Compared with these"),
    element("p", {}, `The most unusual places, and below each the place in a normal ${kind.one} of the training that is most like it: nothing nearer was seen. Where the two look alike, nothing is wrong. 1 is the limit that the places of most normal ${kind.many} stay below.`),
    element("div", { class: "pictures places" }, ...items.map(({ place, neighbours, sample, number }) => element("figure", {},
      element("img", { src: place.picture, alt: `row ${place.row}, column ${place.column}` }),
      ...neighbours.filter((each) => each.thumbnail).slice(0, 1).map((each) => element("img", { src: each.thumbnail, alt: each.sample })),
      element("figcaption", {}, `${short(Math.round(place.strength * 100) / 100)} at row ${place.row}, column ${place.column}`, element("br"),
        `normal: ${sample ?? `patch ${number}`}`)))),
  ];
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
