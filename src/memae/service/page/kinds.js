// What differs between tables, images and video: words, and how a sample is asked for again.

const KINDS = {
  table: {
    prompt: "Drop a table here (CSV or Parquet), or choose one",
    about: (model) => `It must have the ${model.columns.length} columns that the model has learned: ${listed(model.columns)}${model.by ? `; and ${model.by.join(", ")}, to tell which of its ${model.groups} models to ask` : ""}.`,
    several: false,
    whole: "table",
    one: "row",
    many: "rows",
    name: (sample) => `row ${sample.row}`,
    number: (sample) => sample.row,
    known: ["row"],
  },
  image: {
    prompt: "Drop pictures here (PNG, JPEG, TIFF, BMP, WebP, …), or choose some",
    about: (model) => model.tiled ? "They may have any size." : `They are ${model.scaled ? "scaled to" : "to have"} ${model.width} × ${model.height} pixels.`,
    several: true,
    whole: "picture",
    one: "picture",
    many: "pictures",
    around: "the picture as a whole",
    name: (sample) => sample.file,
    number: () => null,
    known: ["file"],
  },
  video: {
    prompt: "Drop a video here, or choose one",
    about: (model) => `${model.least_frames > 1 ? `It needs ${model.least_frames} frames or more` : "Any of these"}: MP4, AVI, MKV, MOV, WebM, MPEG or WMV.`,
    several: false,
    whole: "video",
    one: "frame",
    many: "frames",
    around: "the frames around it",
    name: (sample) => `frame ${sample.frame}, ${sample.time.toFixed(2)} s`,
    number: (sample) => sample.frame,
    known: ["frame", "time"],
  },
};

/** Words for a model; samples of a model by group are named by their group too. */
export function kindOf(model) {
  const kind = KINDS[model.kind];
  if (!model.by) return kind;
  const key = (sample) => model.by.map((name) => sample[name]).filter((value) => value !== undefined).join(", ");
  return { ...kind, name: (sample) => `${kind.name(sample)}, ${key(sample) || "no group"}`, known: [...kind.known, ...model.by] };
}

function listed(columns) {
  const names = columns.slice(0, 6).map((column) => column.name);
  return names.join(", ") + (columns.length > 6 ? ` and ${columns.length - 6} more` : "");
}

/** The model that takes a file of this name: the chosen one if it does, else the first that does. */
export function fitting(models, chosen, file) {
  const takes = (model) => model.suffixes.some((suffix) => file.name.toLowerCase().endsWith(suffix));
  return takes(chosen) ? chosen : (models.find(takes) ?? chosen);
}
