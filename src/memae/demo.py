"""`memae demo`: memae beside what one would use otherwise, on a generated street, a real table and real digits."""

import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

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
DIGITS = (1, 5, 8)  # all ten take minutes
EPOCHS = 4  # of the autoencoder for video, after which it hardly gets better
FRAMES, CYCLIST, BOX = 240, (60, 105), 170  # of the test film: its length, and what happens when
Reals = NDArray[np.float64]


class Contender(NamedTuple):
    """What one detector makes of a task."""

    name: str
    auroc: float
    fit_seconds: float
    normal: float | None = None  # share of normal samples that it flags; None for one without a threshold
    found: float | None = None  # share of anomalous ones that it flags


class Judged(NamedTuple):
    """A detector on a task."""

    detector: Any
    contender: Contender
    scores: Reals


Contenders = tuple[Contender, ...]


def run(out: Path) -> Iterator[str]:
    """Runs the demo and writes index.html and demo.png into the folder `out`; yields lines to print.

    Raises:
        OutputError: the folder cannot be written.
    """
    out.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    blocks: list[str] = []
    yield "street (generated): people walk; in the test someone cycles, and a box is left behind"
    street = yield from _street(blocks)
    yield "breast cancer (scikit-learn, 569 real rows): benign is normal"
    table = yield from _table(blocks)
    yield f"digits (scikit-learn, {len(load_digits().target)} real ones): each of three as the normal class"
    digits = yield from _digits(blocks, out)
    tasks = (("street, frames", street), ("breast cancer, rows", table), ("digits, mean of three", digits))
    rows = [_row(name, each) for name, contenders in tasks for each in contenders]
    head = ["", "detector", "AUROC", "flags of normal", "flags of anomalies", "fit"]
    title = "memae demo: what is normal, remembered"
    lead = (
        "memae keeps what is normal in a memory and flags what is unlike it. Here it is beside what one would use "
        "otherwise: a plain autoencoder, nearest neighbours, the difference of two frames. All were fitted just now, "
        "on this machine, on normal data alone. A detector with a threshold promised to flag 5 % of normal samples."
    )
    made = ", ".join(f"{name} {number}" for name, number in versions().items())
    foot = markup.tag("p", f"Made by `memae demo` in {time.monotonic() - began:.0f} s with {made}.", class_="soft")
    html = markup.page(title, lead, [markup.table(head, rows), *blocks, foot])
    with replacing(out / "index.html") as temporary:
        temporary.write_text(html, encoding="utf-8")
    for row in [head, *rows]:
        yield f"{row[0]:22}{row[1]:30}" + "".join(f"{cell:>20}" for cell in row[2:])
    yield f"look at {out / 'index.html'} ({time.monotonic() - began:.0f} s)"


def _row(task: str, each: Contender) -> list[str]:
    flags = ("–" if share is None else f"{share:.0%}" for share in (each.normal, each.found))
    return [task, each.name, f"{each.auroc:.4f}", *flags, f"{each.fit_seconds:.1f} s"]


def _judge(name: str, detector: Estimator, normal: Any, test: Any, anomalous: NDArray[np.bool_]) -> Judged:
    start = time.perf_counter()
    detector.fit(normal)
    fitted = time.perf_counter() - start
    scores = detector.anomaly_score(test)
    above = scores > detector.threshold_
    flags = float(above[~anomalous].mean()), float(above[anomalous].mean())
    return Judged(detector, Contender(name, auroc(anomalous, scores), fitted, *flags), scores)


def _neighbours(normal: Reals, test: Reals, anomalous: NDArray[np.bool_]) -> Contender:
    """What many would use: the mean distance to the five nearest normal samples."""
    start = time.perf_counter()
    nearest = NearestNeighbors(n_neighbors=5).fit(normal)
    fitted = time.perf_counter() - start
    return Contender("5 nearest neighbours", auroc(anomalous, nearest.kneighbors(test)[0].mean(1)), fitted)


def _line(name: str, contenders: Contenders) -> str:
    return f"  {name:14} AUROC  " + "   ".join(f"{each.name} {each.auroc:.4f}" for each in contenders)


# ---------------------------------------------------------------------------------------------------------- digits


def _digits(blocks: list[str], out: Path) -> Generator[str, None, Contenders]:
    """A one-class problem for each of `DIGITS`, with pictures of one of them. Returns the means of all detectors."""
    data = load_digits()
    found: list[Contenders] = []
    for digit in DIGITS:
        normal = data.images[data.target == digit]
        cut = len(normal) * 2 // 3
        test = np.concatenate([normal[cut:], data.images[data.target != digit]])
        anomalous = np.arange(len(test)) >= len(normal) - cut
        options: dict[str, Any] = {"widths": (32, 64), "strides": ((2, 2), (2, 2))}
        ae, memae = (
            _judge(name, ImageMemAE(items, **options), normal[:cut], test, anomalous)
            for name, items in (("plain autoencoder", 0), ("memae: ImageMemAE(30)", 30))
        )
        neighbours = _neighbours(normal[:cut].reshape(cut, -1), test.reshape(len(test), -1), anomalous)
        found.append((ae.contender, neighbours, memae.contender))
        yield _line(f"normal: {digit}", found[-1])
        if digit == SHOWN:
            blocks += _digit_blocks(ae, memae, test, anomalous, out)
    return tuple(_mean(each) for each in zip(*found, strict=True))


def _mean(same: Contenders) -> Contender:
    """The means of one detector over several tasks."""
    seconds = float(np.mean([each.fit_seconds for each in same]))
    normal, found = (
        float(np.mean(shares)) if (shares := [share for share in column if share is not None]) else None
        for column in ([each.normal for each in same], [each.found for each in same])
    )
    return Contender(same[0].name, float(np.mean([each.auroc for each in same])), seconds, normal, found)


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
            f"AE and MemAE were trained for {len(memae.detector.history_)} epochs on images of {SHOWN} alone. On "
            "digits as small as these (8 x 8 pixels, about 120 to learn from) nearest neighbours rank better than "
            "both: use those.",
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


def _table(blocks: list[str]) -> Generator[str, None, Contenders]:
    """Malignant tumours among benign ones."""
    X, benign = load_breast_cancer(return_X_y=True, as_frame=True)
    normal = X[benign == 1]
    test = X.drop(index=normal.index[:240])
    anomalous = (benign[test.index] == 0).to_numpy()
    ae, memae = (
        _judge(name, TabularMemAE(items), normal[:240], test, anomalous)
        for name, items in (("plain autoencoder", 0), ("memae: TabularMemAE()", None))
    )
    scaled = StandardScaler().fit(normal[:240])
    neighbours = _neighbours(scaled.transform(normal[:240]), scaled.transform(test), anomalous)
    contenders = ae.contender, neighbours, memae.contender
    yield _line("breast cancer", contenders)
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
    return contenders


# ---------------------------------------------------------------------------------------------------------- street


def street(frames: int, seed: int, cyclist: tuple[int, int] | None = None, box: int | None = None) -> Pixels:
    """A generated video `(frames, 64, 96)`: people walk along a path.

    Args:
        frames: of the video.
        seed: of who walks where.
        cyclist: first frame, and the one after the last, in which someone cycles by; None for nobody.
        box: frame from which on a box of 14 × 14 stands on the path; None for none.
    """
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
        if box is not None and t >= box:
            frame[30:44, 40:54] = 255
        video[t] = (frame + rng.normal(0, 3, frame.shape)).clip(0, 255).astype(np.uint8)
    return video


def _street(blocks: list[str]) -> Generator[str, None, Contenders]:
    """A cyclist among walkers, and something left behind."""
    normal = [street(160, seed) for seed in range(1, 7)]
    test = street(FRAMES, 9, CYCLIST, BOX)
    numbers = np.arange(FRAMES)
    anomalous = (numbers >= CYCLIST[0]) & (numbers < CYCLIST[1]) | (numbers >= BOX)
    start = time.perf_counter()
    change = np.abs(np.diff(test.astype(float), axis=0, prepend=test[:1]))
    peaks = change.reshape(FRAMES, 8, 8, 12, 8).mean((2, 4)).max((1, 2))
    difference = Contender("difference of two frames", auroc(anomalous, peaks), time.perf_counter() - start)
    ae, memae = (
        _judge(name, detector, normal, test, anomalous)
        for name, detector in (
            ("autoencoder of motion", VideoMemAE(0, epochs=EPOCHS)),
            ("memae: VideoMemAE()", VideoMemAE()),
        )
    )
    contenders = difference, ae.contender, memae.contender
    yield _line("street", contenders)
    others = {"another normal film": street(160, 8), "at dusk": (street(160, 8) * 0.55).astype(np.uint8)}
    flags = [[name, *(_flagged(each.detector, film) for each in (ae, memae))] for name, film in others.items()]
    rows = [("frame", test), ("autoencoder", _heat(ae.detector, test)), ("memae", _heat(memae.detector, test))]
    at = [20, 70, 95, 140, 200]
    shown = [(name, markup.picture(markup.strip(images[at], 5, gap=2), name, 5 * 150)) for name, images in rows]
    blocks += [
        markup.heading(
            "Video: a cyclist among walkers, and a box that is left behind",
            "A generated street; the training data are six films of people walking. "
            + _how(memae.detector)
            + " An autoencoder that restores motion sees the cyclist, but not what stands still.",
        ),
        markup.figure(
            timeline(memae.scores, anomalous, memae.detector.threshold_),
            "memae's score of each frame. Shaded: someone cycles; from frame "
            f"{BOX} on the box stands there. Dashed: the threshold, from training films that were left out in turn.",
        ),
        markup.figure(markup.labelled(shown), "Frames " + ", ".join(map(str, at)) + " and their heat maps."),
        markup.table(["normal frames flagged, 5 % promised", "autoencoder", "memae"], flags),
    ]
    return contenders


def _how(detector: VideoMemAE) -> str:
    memory = detector.scorer_.model.memory
    if memory is None or detector.scorer_.model.trained:
        return "memae[features] is not installed, so that a small network was trained: pip install 'memae[features]'."
    return (
        f"{len(memory.items):,} positions of their frames, as a pretrained network describes "
        "them, are the memory; nothing was trained."
    )


def _flagged(detector: VideoMemAE, film: Pixels) -> str:
    return f"{(detector.anomaly_score(film) > detector.threshold_).mean():.0%}"


def _heat(detector: VideoMemAE, video: Pixels) -> Pixels:
    """The score of each position of each frame as a heat map; twice the threshold is brightest."""
    scores = torch.stack([frame.error_map[0] for frame in detector.frames(video)])
    return heat_colours((detector.calibration_.strength(scores) / 2).clip(0, 1).numpy())
