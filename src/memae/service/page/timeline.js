// The scores of a video over time: a curve to look at, and a slider to choose a frame with, by hand or by keys.

import { atMost, drawn, element, short } from "./dom.js";

const WIDTH = 900;
const HEIGHT = 180;

/**
 * Draws it into `place`.
 * @param samples frames with score, time and is_anomaly
 * @param limit score above which a frame is flagged; null where none is
 * @param explain called with the frame that is asked about
 */
export function timeline(place, samples, limit, explain) {
  const peak = samples.reduce((best, sample) => (sample.score > best.score ? sample : best));
  const top = 1.05 * Math.max(peak.score, limit ?? 0) || 1;
  const x = (frame) => (frame * WIDTH) / Math.max(samples.length - 1, 1);
  const y = (score) => HEIGHT - (score / top) * HEIGHT;
  const cursor = drawn("line", { class: "cursor", y1: 0, y2: HEIGHT });
  const curve = samples.map((sample) => `${x(sample.frame).toFixed(1)},${y(sample.score).toFixed(1)}`).join(" ");
  const picture = drawn(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT + 18}`, role: "img", "aria-label": "anomaly score over time", click: (event) => pick(event) },
    ...stretches(samples).map(([first, last]) =>
      drawn("rect", { class: "marked", x: x(first - 0.5), y: 0, width: x(last - first + 1), height: HEIGHT }),
    ),
    limit === null ? null : drawn("line", { class: "limit", x1: 0, x2: WIDTH, y1: y(limit), y2: y(limit) }),
    drawn("polyline", { class: "curve", points: curve }),
    cursor,
    label(0, "start", "0 s"),
    label(WIDTH, "end", `${samples.at(-1).time.toFixed(1)} s`),
  );
  const slider = element("input", {
    type: "range", min: 0, max: samples.length - 1, value: peak.frame, "aria-label": "Frame", input: () => show(),
  });
  const told = element("span", { "aria-live": "off" });
  const button = element("button", { click: () => explain(samples[slider.value]) }, "Why this frame?");

  function show() {
    const sample = samples[slider.value];
    cursor.setAttribute("x1", x(sample.frame));
    cursor.setAttribute("x2", x(sample.frame));
    const text = `${sample.time.toFixed(2)} s, frame ${sample.frame}: score ${short(sample.score)}, ` +
      `${sample.is_anomaly ? "unusual" : "normal"} (${atMost(sample.p_value)} of normal frames score as high)`;
    told.textContent = text;
    slider.setAttribute("aria-valuetext", text);
  }

  function pick(event) {
    const { left, width } = picture.getBoundingClientRect();
    slider.value = Math.round(((event.clientX - left) / width) * (samples.length - 1));
    show();
  }

  const caption = element("p", { class: "soft" }, "The higher the curve, the more unusual the frame. ",
    limit === null ? "" : "Above the dashed line frames are flagged, and shaded.");
  place.replaceChildren(picture, slider, element("p", { class: "told" }, told, button), caption);
  show();
}

const label = (x, anchor, text) => drawn("text", { x, y: HEIGHT + 14, "text-anchor": anchor }, text);

/** First and last frame of each stretch that is flagged. */
export function stretches(samples) {
  const found = [];
  for (const { frame, is_anomaly } of samples) {
    if (!is_anomaly) continue;
    if (found.length && found.at(-1)[1] === frame - 1) found.at(-1)[1] = frame;
    else found.push([frame, frame]);
  }
  return found;
}
