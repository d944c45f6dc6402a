"""Scores with an exported model, using only ONNX Runtime and NumPy, without memae and torch.

    memae export model.memae model.onnx
    python onnx_alone.py model.onnx new.csv       # a table, with the columns of training in any order
    python onnx_alone.py model.onnx images.npy    # grey levels (n, c, h, w)
    python onnx_alone.py model.onnx film.npy      # grey levels (frames, c, h, w)

Prints score, p-value and alarm of each row, image or frame as CSV.
"""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime

MISSING = {"", "NA", "N/A", "n/a", "<NA>", "NaN", "nan", "NULL", "null", "None"}  # cells that pandas reads as missing


def table(path, about):
    """The rows of a .csv file, as numbers (n, width)."""
    with Path(path).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    numbers = np.zeros((len(rows), *about["shape"]), about["dtype"])
    for row, cells in zip(numbers, rows, strict=True):
        for column in about["columns"]:
            encode(cells[column["name"]], column, row)
    return numbers


def encode(cell, column, row):
    """Writes the encoding of one cell into the numbers of its row."""
    at, missing = column["at"], cell in MISSING
    if column["kind"] == "category":
        known, value = column["categories"], "" if missing else cell
        row[at + (known.index(value) if value in known else len(known))] = 1.0
        return
    row[at] = column["fill"] if missing else float({"True": 1, "False": 0}.get(cell, cell))
    if column["marked"]:
        row[at + 1] = missing


def around(values, width):
    """The mean over the `width` frames around each frame, fewer at the ends."""
    return np.stack([values[max(at - width // 2, 0) : at + width // 2 + 1].mean(0) for at in range(len(values))])


def of_frames(session, film, about):
    """Score, p-value and alarm of each frame of a film (t, c, h, w), from the graph's scores of clips or positions."""
    length, step = about["shape"][1], about["score_step"]
    clips = np.lib.stride_tricks.sliding_window_view(film, length, 0)[::step]  # (n, c, h, w, length)
    wanted = "places" if "places" in [output.name for output in session.get_outputs()] else "score"
    judged = np.concatenate([session.run([wanted], {"raw": np.moveaxis(each, -1, 1)[None]})[0] for each in clips])
    starts = np.arange(len(clips)) * step
    nearest = np.searchsorted((starts[:-1] + starts[1:]) // 2 + length // 2, np.arange(len(film)))
    scores = judged[nearest].astype("float64")  # of the clip whose centre is nearest to the frame
    scores = around(scores, length).max((1, 2)) if wanted == "places" else scores
    scores = around(scores, about["smooth"])
    reached = (np.array(about["held_out_scores"]) >= scores[:, None]).sum(1)
    return scores, (1 + reached) / (about["held_out"] + 1), scores > about["threshold"]


def main(model, source):
    """Scores all samples of a source."""
    session = onnxruntime.InferenceSession(model)
    about = json.loads(session.get_modelmeta().custom_metadata_map["memae"])
    samples = table(source, about) if about["kind"] == "table" else np.load(source).astype(about["dtype"])
    if about["kind"] == "video":
        answers = of_frames(session, samples, about)
    else:
        parts = [samples[start : start + 256] for start in range(0, len(samples), 256)]
        answers = map(np.concatenate, zip(*(session.run(None, {"raw": part})[:3] for part in parts), strict=True))
    csv.writer(sys.stdout).writerows([("score", "p_value", "is_anomaly"), *zip(*map(list, answers), strict=True)])


if __name__ == "__main__":
    main(*sys.argv[1:])
