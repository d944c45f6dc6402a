"""`memae demo`: an autoencoder and MemAE side by side, on real digits, a real table and a generated street."""

import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_digits

from memae import markup
from memae.charts import timeline
from memae.data.images import heat_colours
from memae.estimators import Estimator, ImageMemAE, TabularMemAE, VideoMemAE
from memae.files import replacing
from memae.metrics import auroc
from memae.modelfile.artifact import versions
from memae.pictures import Pixels, png
from memae.scoring import decoded_items

SHOWN = 5  # the digit whose pictures are shown
Reals = NDArray[np.float64]


class Figures(NamedTuple):
    """The figures to compare."""

    auroc: float
    fit_seconds: float
    microseconds: float  # to score one sample


class Judged(NamedTuple):
    """One detector on one task."""

    detector: Any
    figures: Figures
    scores: Reals


Pair = tuple[Figures, Figures]  # of AE and MemAE


def run(out: Path) -> Iterator[str]:
    """Runs the demo and writes index.html and demo.png into the folder `out`; yields lines to print.

    Raises:
        OutputError: the folder cannot be written.
    """
    out.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    blocks: list[str] = []
    yield "digits (scikit-learn, 1797 real ones): each of the ten as the normal class, 2/3 of it for training"
    digits = yield from _digits(blocks, out)
    yield "breast cancer (scikit-learn, 569 real rows): benign is normal"
    table = yield from _table(blocks)
    yield "street (generated): people walk in training; in the test someone cycles"
    street = yield from _street(blocks)
    rows = [
        [
            name,
            f"{ae.auroc:.4f}",
            f"{memae.auroc:.4f}",
            f"{ae.fit_seconds:.1f} s",
            f"{memae.fit_seconds:.1f} s",
            f"{ae.microseconds:.0f} µs",
            f"{memae.microseconds:.0f} µs",
        ]
        for name, (ae, memae) in (("digits, mean of ten", digits), ("breast cancer", table), ("street, frames", street))
    ]
    head = ["AUROC", "AE", "MemAE", "AE fit", "MemAE fit", "AE / sample", "MemAE / sample"]
    title = "memae demo: what is normal, remembered"
    lead = (
        "An autoencoder learns to reconstruct normal data; what it reconstructs badly is an anomaly. MemAE's decoder "
        "sees only items of a memory of normal prototypes, so that an anomaly is reconstructed as something normal. "
        "Both were fitted just now, on this machine, on normal data alone."
    )
    made = ", ".join(f"{name} {number}" for name, number in versions().items())
    foot = markup.tag("p", f"Made by `memae demo` in {time.monotonic() - began:.0f} s with {made}.", class_="soft")
    html = markup.page(title, lead, [markup.table(head, rows), *blocks, foot])
    with replacing(out / "index.html") as temporary:
        temporary.write_text(html, encoding="utf-8")
    for row in [head, *rows]:
        yield f"{row[0]:22}" + "".join(f"{cell:>15}" for cell in row[1:])
    yield f"look at {out / 'index.html'} ({time.monotonic() - began:.0f} s)"


def _judge(detector: Estimator, normal: Any, test: Any, anomalous: NDArray[np.bool_]) -> Judged:
    start = time.perf_counter()
    detector.fit(normal)
    fitted = time.perf_counter()
    scores = detector.anomaly_score(test)
    seconds = time.perf_counter() - fitted
    figures = Figures(auroc(anomalous, scores), fitted - start, seconds / len(scores) * 1e6)
    return Judged(detector, figures, scores)


def _line(name: str, ae: Figures, memae: Figures) -> str:
    return f"  {name:14} AUROC  AE {ae.auroc:.4f}   MemAE {memae.auroc:.4f}"


# ---------------------------------------------------------------------------------------------------------- digits


def _digits(blocks: list[str], out: Path) -> Generator[str, None, Pair]:
    """Ten one-class problems, with pictures of one of them. Returns the mean figures of both models."""
    data = load_digits()
    pairs: list[Pair] = []
    for digit in range(10):
        normal = data.images[data.target == digit]
        cut = len(normal) * 2 // 3
        test = np.concatenate([normal[cut:], data.images[data.target != digit]])
        anomalous = np.arange(len(test)) >= len(normal) - cut
        options: dict[str, Any] = {"widths": (32, 64), "strides": ((2, 2), (2, 2))}
        ae, memae = (_judge(ImageMemAE(n_items, **options), normal[:cut], test, anomalous) for n_items in (0, 30))
        pairs.append((ae.figures, memae.figures))
        yield _line(f"normal: {digit}", *pairs[-1])
        if digit == SHOWN:
            blocks += _digit_blocks(ae, memae, test, anomalous, out)
    mean_ae, mean_memae = (Figures(*np.mean([pair[model] for pair in pairs], axis=0).tolist()) for model in (0, 1))
    return mean_ae, mean_memae


def _digit_blocks(ae: Judged, memae: Judged, test: Reals, anomalous: NDArray[np.bool_], out: Path) -> list[str]:
    worst = np.flatnonzero(anomalous)[np.argsort(-memae.scores[anomalous])[:12]]
    rows: list[tuple[str, Pixels]] = [("anomaly", _grey(test[worst]))]
    for name, judged in (("AE", ae), ("MemAE", memae)):
        seen = list(judged.detector.scores(test[worst]))
        x_hat = torch.cat([part.x_hat for part in seen]).numpy()[:, 0]
        error = torch.cat([part.error_map for part in seen]).numpy()[:, 0]
        rows += [(f"{name} sees", _grey(x_hat)), (f"{name} error", heat_colours(np.sqrt(error).clip(0, 1)))]
    _write_picture(rows, out)
    shown = [(name, markup.picture(markup.strip(images, 12), name, 12 * 57)) for name, images in rows]
    items = _grey(decoded_items(memae.detector.scorer_).numpy()[:, 0])
    atlas = markup.picture(markup.strip(items, 15), "decoded memory items", 15 * 45)
    return [
        markup.heading(
            f"Digits: {SHOWN} is normal",
            f"AE and MemAE were trained for {len(memae.detector.history_)} epochs on images of {SHOWN} alone.",
        ),
        markup.figure(
            markup.labelled(shown),
            f"The most anomalous digits. MemAE reconstructs the nearest {SHOWN} in its memory; a bright pixel has a "
            "large error.",
        ),
        markup.figure(atlas, f"The {len(items)} items of the memory, each decoded alone: prototypes of {SHOWN}."),
    ]


def _grey(images: Any) -> Pixels:
    """Digits of 0 (paper) to 16 (ink) as grey levels."""
    levels: Pixels = (np.asarray(images, dtype=float) * (255 / 16)).clip(0, 255).astype(np.uint8)
    return levels


def _write_picture(rows: list[tuple[str, Pixels]], out: Path) -> None:
    """The README's picture: the rows below each other, six times as large."""
    sheets = [images if images.ndim == 4 else images[..., None].repeat(3, -1) for _, images in rows]
    sheet = markup.strip(np.concatenate(sheets), 12, ground=255)
    with replacing(out / "demo.png") as temporary:
        temporary.write_bytes(png(sheet.repeat(6, 0).repeat(6, 1)))


# ----------------------------------------------------------------------------------------------------------- table


def _table(blocks: list[str]) -> Generator[str, None, Pair]:
    """Malignant tumours among benign ones."""
    X, benign = load_breast_cancer(return_X_y=True, as_frame=True)
    normal = X[benign == 1]
    test = X.drop(index=normal.index[:240])
    anomalous = (benign[test.index] == 0).to_numpy()
    ae, memae = (_judge(TabularMemAE(n_items), normal[:240], test, anomalous) for n_items in (0, None))
    yield _line("breast cancer", ae.figures, memae.figures)
    detector = memae.detector
    worst = np.argsort(-memae.scores)[:6]
    p_values = detector.p_value(test.iloc[worst])
    parts = detector.contributions(test.iloc[worst])
    rows = []
    for (_, part), index, p_value in zip(parts.iterrows(), worst, p_values, strict=True):
        top = [f"{name} {share:.0%}" for name, share in (part / part.sum()).nlargest(3).items()]
        kind = "malignant" if anomalous[index] else "benign"
        rows.append([str(test.index[index]), kind, f"{memae.scores[index]:.1f}", f"{p_value:.3f}", ", ".join(top)])
    blocks += [
        markup.heading(
            "A table: breast cancer",
            f"{len(detector.scorer_.kept_samples)} benign tumours are the memory of MemAE, which trains nothing for "
            "tables; AE was trained on the same. The other benign and all malignant tumours were scored. Scores above "
            f"{detector.threshold_:.1f} are flagged, a threshold set on the benign rows, each scored without itself in "
            "the memory, for 5 % false alarms.",
        ),
        markup.table(["row", "truth", "score", "p-value", "what contributes most"], rows),
    ]
    return ae.figures, memae.figures


# ---------------------------------------------------------------------------------------------------------- street


def street(frames: int, seed: int, cyclist: tuple[int, int] | None = None) -> Pixels:
    """A generated video `(frames, 64, 96)`: people walk along a path, and in the given frames someone cycles by."""
    rng = np.random.default_rng(seed)
    v, u = np.mgrid[:64, :96].astype(float)
    ground = 150 + 25 * np.sin(u / 17) + 18 * np.cos(v / 9)
    starts, speeds, tops = (
        rng.uniform(0, 96, 4),
        rng.choice([-1, 1], 4) * rng.uniform(0.4, 0.7, 4),
        rng.uniform(6, 42, 4),
    )
    video = np.empty((frames, 64, 96), dtype=np.uint8)
    for t in range(frames):
        frame = ground.copy()
        for start, speed, top in zip(starts, speeds, tops, strict=True):
            x, swing = (start + speed * t) % 112 - 8, 2 * np.sin(t / 2.5)
            frame[((u - x) / 2.5) ** 2 + ((v - top - 6) / 6) ** 2 < 1] = 50
            for leg in (swing, -swing):
                frame[(np.abs(u - x - leg * (v - top - 11) / 6) < 1) & (v > top + 11) & (v < top + 18)] = 60
        if cyclist and cyclist[0] <= t < cyclist[1]:
            x = -12 + (t - cyclist[0]) * 120 / (cyclist[1] - cyclist[0])
            for wheel in (-7, 7):
                frame[np.abs(np.hypot(u - x - wheel, v - 44) - 5) < 1] = 30
            frame[((u - x) / 4) ** 2 + ((v - 33) / 8) ** 2 < 1] = 230
        video[t] = (frame + rng.normal(0, 3, frame.shape)).clip(0, 255).astype(np.uint8)
    return video


def _street(blocks: list[str]) -> Generator[str, None, Pair]:
    """A cyclist among walkers."""
    normal = [street(160, seed) for seed in (1, 2, 3)]
    test = street(160, 9, cyclist=(60, 105))
    anomalous = np.zeros(160, dtype=bool)
    anomalous[60:105] = True
    ae, memae = (_judge(VideoMemAE(n_items), normal, test, anomalous) for n_items in (0, 200))
    yield _line("street", ae.figures, memae.figures)
    rows = [("frame", test), ("AE", _heat(ae.detector, test)), ("MemAE", _heat(memae.detector, test))]
    at = [20, 70, 82, 95, 140]
    shown = [(name, markup.picture(markup.strip(images[at], 5, gap=2), name, 5 * 150)) for name, images in rows]
    blocks += [
        markup.heading(
            "Video: a cyclist among walkers",
            "A generated street; the training data are three videos of people walking. The score of a frame is that of "
            "its most anomalous position.",
        ),
        markup.figure(
            timeline(memae.scores, anomalous, memae.detector.threshold_),
            "MemAE's score of each frame. Shaded: someone cycles. Dashed: the threshold, from held-out normal video.",
        ),
        markup.figure(markup.labelled(shown), "Frames " + ", ".join(map(str, at)) + " and their heat maps."),
    ]
    return ae.figures, memae.figures


def _heat(detector: VideoMemAE, video: Pixels) -> Pixels:
    """The score of each position of each frame as a heat map; twice the threshold is brightest."""
    scores = torch.stack([frame.error_map[0] for frame in detector.frames(video)])
    return heat_colours((detector.calibration_.strength(scores) / 2).clip(0, 1).numpy())
