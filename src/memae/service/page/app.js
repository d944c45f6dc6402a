// Files in, scores and reasons out. The page keeps the files: to explain a sample, it sends them again.

import * as api from "./api.js";
import { byId, element, percent } from "./dom.js";
import { fitting, kindOf } from "./kinds.js";
import { csv, list } from "./list.js";
import { timeline } from "./timeline.js";
import { why } from "./why.js";

const GROUP = { files: 100, bytes: 20e6 }; // pictures that are sent together
const MANY = 20; // samples of which it says something when most are flagged

let models = [];
let model = null;
let offered = []; // the files that were given last
let shown = null; // { model, files, ignore, samples } of the scores on the page
let asking = null; // the button that has asked for reasons
let pictures = new Map(); // addresses of thumbnails

async function start() {
  try {
    models = await api.models();
  } catch (refusal) {
    byId("token-form").hidden = refusal.status !== 401;
    if (refusal.status !== 401 || byId("token").value) trouble(refusal.status === 401 ? "This is not the token." : refusal.message);
    return;
  }
  calm();
  byId("token-form").hidden = true;
  byId("give").hidden = false;
  byId("choice").hidden = models.length < 2;
  byId("model").replaceChildren(...models.map((each) => element("option", { value: each.name }, `${each.name} (${each.kind})`)));
  choose(models[0]);
}

function choose(chosen) {
  model = chosen;
  byId("model").value = model.name;
  const kind = kindOf(model);
  byId("prompt").textContent = kind.prompt;
  byId("about").textContent = kind.about(model);
  byId("files").multiple = models.some((each) => kindOf(each).several); // the model that takes the files is found
  byId("files").accept = models.flatMap((each) => each.suffixes).join(",");
  byId("leave-out").hidden = model.kind !== "table";
}

async function take(files) {
  if (!files.length) return;
  offered = files;
  choose(fitting(models, model, files[0]));
  const kind = kindOf(model);
  if (files.length > 1 && !kind.several) return trouble(`These are ${files.length} files; give one ${kind.whole} at a time.`);
  const given = [...files];
  const ignore = model.kind === "table" ? byId("ignore").value.split(",").map((name) => name.trim()).filter(Boolean) : [];
  await busy(`Scoring ${given.length === 1 ? given[0].name : `${given.length} ${kind.many}`} …`, async () => {
    byId("result").hidden = byId("why").hidden = true;
    const samples = [];
    const read = []; // the files that have a sample
    const unread = [];
    let leftOut = []; // columns that the model does not know
    let threshold = null;
    let rate = 0;
    for (const group of grouped(given)) {
      const scored = await api.score(model, group, ignore);
      samples.push(...scored.samples);
      const lost = scored.unread ?? []; // of pictures alone: others are one file a request
      read.push(...group.filter((_, place) => !lost.some((each) => each.sample === place)));
      unread.push(...lost);
      leftOut = scored.left_out ?? [];
      threshold = scored.threshold;
      rate = scored.false_alarm_rate;
    }
    shown = { model, files: read, unread, leftOut, ignore, samples };
    show(threshold, rate);
  });
}

/** Files in groups that fit into one request each. */
function* grouped(files) {
  let group = [];
  let size = 0;
  for (const file of files) {
    if (group.length && (group.length === GROUP.files || size + file.size > GROUP.bytes)) {
      yield group;
      [group, size] = [[], 0];
    }
    group.push(file);
    size += file.size;
  }
  yield group;
}

function show(threshold, rate) {
  const { samples, files, unread, leftOut } = shown;
  const kind = kindOf(shown.model);
  const flagged = samples.filter((sample) => sample.is_anomaly).length;
  const name = files.length === 1 ? files[0].name : `${files.length} ${kind.many}`;
  const count = samples.length === 1 ? `The ${kind.one} looks ${flagged ? "unusual" : "normal"}.`
    : flagged === 0 ? `None of the ${samples.length} ${kind.many} looks unusual.`
    : `${flagged} of ${samples.length} ${kind.many} ${flagged === 1 ? "looks" : "look"} unusual.`;
  byId("result-title").textContent = name;
  const odd = samples.length >= MANY && flagged > samples.length / 2 ? " If most of these should be normal, they are unlike what the model has learned." : "";
  const lost = unread.length ? ` Not read: ${unread.map((each) => each.reason).join("; ")}.` : "";
  const unknown = leftOut.length ? ` Left out, since the model does not know them: ${leftOut.join(", ")}.` : "";
  byId("summary").textContent = `${count}${rate === null ? "" : ` Of normal ${kind.many}, about ${percent(rate)} are flagged by mistake.`}${odd}${lost}${unknown}`;
  for (const address of pictures.values()) URL.revokeObjectURL(address);
  pictures = new Map(shown.model.kind === "image" ? files.map((file, position) => [position, URL.createObjectURL(file)]) : []);
  byId("timeline").hidden = shown.model.kind !== "video";
  if (shown.model.kind === "video") timeline(byId("timeline"), samples, threshold, explain);
  list(byId("list"), kind, samples, pictures, explain);
  byId("result").hidden = false;
  byId("result-title").focus();
}

async function explain(sample, position) {
  asking = document.activeElement;
  const { model: asked, files, ignore } = shown;
  const kind = kindOf(asked);
  const given = kind.several ? [files[position]] : files;
  await busy(`Looking for the reasons of ${kind.name(sample)} …`, async () => {
    const evidence = await api.explain(asked, given, ignore, kind.number(sample));
    byId("why-title").textContent = `Why ${kind.name(sample)} looks ${sample.is_anomaly ? "unusual" : "normal"}`;
    why(byId("reasons"), kind, asked.kind, evidence);
    byId("why").hidden = false;
    byId("why-title").focus();
  });
}

/** Says what goes on while `work` does it, and what went wrong. */
async function busy(message, work) {
  calm();
  byId("status").textContent = message;
  document.body.setAttribute("aria-busy", "true");
  try {
    await work();
  } catch (error) {
    if (!(error instanceof api.Refusal)) throw error;
    trouble(error.message);
    if (error.status === 401) byId("token-form").hidden = false;
  } finally {
    byId("status").textContent = "";
    document.body.removeAttribute("aria-busy");
  }
}

function trouble(message) {
  byId("trouble").textContent = message;
  byId("trouble").hidden = false;
}

const calm = () => { byId("trouble").hidden = true; };

function download() {
  const address = URL.createObjectURL(new Blob([csv(kindOf(shown.model), shown.samples)], { type: "text/csv" }));
  element("a", { href: address, download: "scores.csv" }).click();
  URL.revokeObjectURL(address);
}

function back() {
  byId("why").hidden = true;
  (asking?.isConnected ? asking : byId("result-title")).focus();
}

function listen() {
  const drop = byId("drop");
  byId("files").addEventListener("change", (event) => take(event.target.files));
  byId("model").addEventListener("change", (event) => choose(models.find((each) => each.name === event.target.value)));
  byId("ignore").addEventListener("change", () => take(offered));
  byId("back").addEventListener("click", back);
  byId("download").addEventListener("click", download);
  byId("token-form").addEventListener("submit", (event) => {
    event.preventDefault();
    api.keepToken(byId("token").value.trim());
    start();
  });
  for (const kind of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", kind === "dragover");
      if (kind === "drop" && model) take(event.dataTransfer.files);
    });
  }
}

listen();
start();
