"""Table 1 in docs/reproduce.md, its pictures, and results/table1.json, from the runs that were recorded."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import stats

from benchmarks import records
from benchmarks.table1 import DATASETS, METHODS, job, seeds_of

PICTURES = records.ROOT / "docs" / "reproduce"
NOTES = records.ROOT / "benchmarks" / "table1" / "notes.md"

TITLES = {"mnist": "MNIST", "cifar10": "CIFAR-10 (JPEG copies)"}
ROWS = {
    "ocsvm": "OC-SVM",
    "kde": "KDE",
    "vae": "VAE",
    "pixelcnn": "PixelCNN",
    "dsebm": "DSEBM (reconstruction)",
    "ae": "AE",
    "memae_nonspar": "MemAE-nonSpar",
    "memae_paper": "MemAE, as printed",
    "memae_authors": "MemAE, as the authors' code",
    "pca_8": "PCA, 8 components",
    "pca_32": "PCA, 32 components",
    "pca_128": "PCA, 128 components",
    "neighbour": "nearest neighbour",
    "ours_without_memory": "ours without memory: `ImageMemAE(n_items=0)`",
    "ours": "**ours**: `ImageMemAE()`",
}
PUBLISHED = {
    "mnist": dict(zip(ROWS, (0.9499, 0.8116, 0.9643, 0.6141, 0.9554, 0.9619, 0.9725, 0.9751, 0.9751), strict=False)),
    "cifar10": dict(zip(ROWS, (0.5619, 0.5756, 0.5725, 0.5450, 0.5725, 0.5706, 0.6058, 0.6088, 0.6088), strict=False)),
}
"""Table 1 of the paper."""
CONTROLS = ("pca_8", "pca_32", "pca_128", "neighbour", "ours_without_memory")
CLASSES = {
    "mnist": tuple("0123456789"),
    "cifar10": ("plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
}


class Row(NamedTuple):
    """All runs of a method on a data set."""

    runs: list[list[dict[str, Any]]]  # by seed, by class

    def of(self, get: Callable[[dict[str, Any]], float]) -> NDArray[np.float64]:
        """A figure of each run `(seeds, classes)`."""
        return np.array([[get(run) for run in each] for each in self.runs])

    def auroc(self, score: str | None = None) -> NDArray[np.float64]:
        """AUROC `(seeds, classes)` under a score, by default the method's own."""
        return self.of(lambda run: run["auroc"][run["score"] if score is None else score])


def read(dataset: str, method: str) -> Row | None:
    """The row of a method; None unless all ten classes of one seed or more are recorded."""
    found = [
        [job(dataset, method, normal, seed).record() for normal in range(10)] for seed in seeds_of(dataset, method)
    ]
    complete = [[run for run in each if run is not None] for each in found if None not in each]
    return Row(complete) if complete else None


def section() -> list[str]:
    """The lines of the page; writes pictures, and the figures of the scoreboard."""
    tables = {dataset: {name: row for name in ROWS if (row := read(dataset, name))} for dataset in DATASETS}
    tables = {dataset: rows for dataset, rows in tables.items() if rows}
    records.write(
        records.RESULTS / "table1.json",
        {
            dataset: {"provenance": origin(rows), "figures": scoreboard(dataset, rows)}
            for dataset, rows in tables.items()
        },
    )
    lines = ["## Table 1: images"]
    for dataset, rows in tables.items():
        lines += [
            "",
            f"### {TITLES[dataset]}",
            "",
            *table(dataset, rows),
            "",
            *paired(rows),
            "",
            *other_scores(rows),
            "",
            *by_class(dataset, rows),
        ]
        if draw(dataset, rows):
            lines += ["", f"![AUROC and held-out error against epochs]({PICTURES.name}/curves_{dataset}.png)"]
    return [*lines, "", *NOTES.read_text(encoding="utf-8").splitlines()]


def origin(rows: dict[str, Row]) -> dict[str, Any]:
    """Where the runs of a data set come from, as one."""
    told = [run["provenance"] for row in rows.values() for each in row.runs for run in each]
    return records.together(told, "python -m benchmarks table1")


def over_seeds(auroc: NDArray[np.float64]) -> tuple[float, float, int]:
    """Mean over classes: its mean, standard deviation and number over the seeds."""
    return records.over(auroc.mean(1).tolist())


def better(rows: dict[str, Row]) -> str | None:
    """Which of the two settings of MemAE has the higher mean."""
    there = [name for name in ("memae_paper", "memae_authors") if name in rows]
    return max(there, key=lambda name: float(rows[name].auroc().mean())) if there else None


def controls(rows: dict[str, Row]) -> dict[str, float]:
    """The mean AUROC of each control: on pixels, without memory, and AE under other scores."""
    found = {ROWS[name]: float(rows[name].auroc().mean()) for name in CONTROLS if name in rows}
    if "ae" in rows:
        names = rows["ae"].runs[0][0]["auroc"]
        found |= {f"AE, score: {name}": float(rows["ae"].auroc(name).mean()) for name in names}
    return found


def scoreboard(dataset: str, rows: dict[str, Row]) -> dict[str, dict[str, float]]:
    """The figures that have a target."""
    best = better(rows)
    named = {"memae": best} if best else {}
    named |= {
        name: name for name in METHODS if name in rows and name not in (*CONTROLS, "memae_paper", "memae_authors")
    }
    found = {f"{key}/auroc": records.figure(*over_seeds(rows[name].auroc())) for key, name in named.items()}
    if best and "ae" in rows:
        gaps = _gaps(rows[best], rows["ae"]).mean(1)
        found["memae_minus_ae/auroc_worst_seed"] = records.figure(float(gaps.min()), float(gaps.std()), len(gaps))
    if "ours" in rows and controls(rows):
        value, std, n = over_seeds(rows["ours"].auroc())
        found["ours_minus_best_control/auroc"] = records.figure(value - max(controls(rows).values()), std, n)
    return {f"table1/{dataset}/{key}": each for key, each in found.items()}


def _gaps(above: Row, below: Row) -> NDArray[np.float64]:
    """Difference of the AUROCs of the seeds that both have `(seeds, classes)`."""
    seeds = min(len(above.runs), len(below.runs))
    found: NDArray[np.float64] = above.auroc()[:seeds] - below.auroc()[:seeds]
    return found


def table(dataset: str, rows: dict[str, Row]) -> list[str]:
    """Every method beside the paper's figure."""
    lines = [
        "| method | paper | here: AUROC, mean of 10 classes | 95 % interval | difference | average precision "
        "| best epoch on the test † | seconds a class |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, title in ROWS.items():
        if name not in rows:
            continue
        row = rows[name]
        mean, std, n = over_seeds(row.auroc())
        printed = PUBLISHED[dataset].get(name)
        reach = float(stats.t.ppf(0.975, n - 1)) * std / n**0.5 if n > 1 else None
        cells = [
            title,
            "–" if printed is None else f"{printed:.4f}",
            f"{mean:.4f} ± {std:.4f} ({n} seed{'s' * (n > 1)})",
            "–" if reach is None else f"{mean - reach:.4f} … {mean + reach:.4f}",
            "–" if printed is None else f"{mean - printed:+.4f}",
            f"{row.of(lambda run: run['average_precision'][run['score']]).mean():.4f}",
            f"{row.of(lambda run: max(each for each in run['curve'] if each)).mean():.4f}"
            if "curve" in row.runs[0][0]
            else "–",
            f"{row.of(lambda run: run['seconds']).mean():.0f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    for name, value in controls(rows).items():
        if name.startswith("AE, "):
            lines.append(f"| control: {name} | – | {value:.4f} | – | – | – | – | – |")
    return [
        *lines,
        "",
        "± is the standard deviation over the seeds, the interval Student's for their mean; a seed draws the images, "
        "the weights and the order. † chosen with the test's labels, so no result: it shows what the choice of the "
        "epoch, made on held-out normal images, leaves. Seconds are of a core of a shared machine.",
    ]


def paired(rows: dict[str, Row]) -> list[str]:
    """MemAE against AE, and ours against controls, class by class."""
    lines = []
    best = better(rows)
    pairs = [
        (best, "ae"),
        ("memae_nonspar", "ae"),
        ("ours", "ae"),
        ("ours", "neighbour"),
        ("ours", "ours_without_memory"),
    ]
    for above, below in pairs:
        if above is None or above not in rows or below not in rows:
            continue
        gaps = _gaps(rows[above], rows[below])
        each = gaps.mean(0)
        seeds = ", ".join(f"{gap:+.4f}" for gap in gaps.mean(1))
        p = float(stats.wilcoxon(each).pvalue)
        lines.append(
            f"- {ROWS[above]} over {ROWS[below]}: {seeds} by seed; better in {int((each > 0).sum())} of 10 classes, "
            f"Wilcoxon's signed-rank test over the classes p = {p:.3g}."
        )
    return lines


def other_scores(rows: dict[str, Row]) -> list[str]:
    """What other scores, or settings, make of the same runs; mean AUROC over classes and seeds."""
    lines = ["AUROC of the same methods under other scores and settings, for comparison:", ""]
    for name, row in rows.items():
        first = row.runs[0][0]
        found = [f"{each} {row.auroc(each).mean():.4f}" for each in first["auroc"] if each != first["score"]]
        if found:
            lines.append(f"- {ROWS[name]}: {', '.join(found)}")
    return lines if len(lines) > 2 else []


def by_class(dataset: str, rows: dict[str, Row]) -> list[str]:
    """AUROC of each class, mean of the seeds."""
    lines = [f"| AUROC by class | {' | '.join(CLASSES[dataset])} |", "|---" * 11 + "|"]
    for name, row in rows.items():
        lines.append(f"| {ROWS[name]} | {' | '.join(f'{value:.3f}' for value in row.auroc().mean(0))} |")
    return lines


def draw(dataset: str, rows: dict[str, Row]) -> bool:
    """AUROC and held-out error against epochs, mean and range of the seeds; whether there was anything to draw."""
    shown = {name: row for name, row in rows.items() if "curve" in row.runs[0][0]}
    if not shown:
        return False
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, row in shown.items():
        seeds = len(row.runs)
        curves = np.array([[run["curve"] for run in each] for each in row.runs], float).reshape(seeds, 10, -1)
        errors = np.array([[run["held_out_error"] for run in each] for each in row.runs]).mean((0, 1))
        epochs = np.arange(1, curves.shape[2] + 1)
        each = np.nanmean(curves, 1)
        (line,) = left.plot(epochs, each.mean(0), label=ROWS[name])
        left.fill_between(epochs, each.min(0), each.max(0), color=line.get_color(), alpha=0.2, linewidth=0)
        right.plot(epochs, errors / errors[-1], color=line.get_color())
    left.set(xlabel="epoch", ylabel="AUROC of the test, mean of 10 classes")
    right.set(xlabel="epoch", ylabel="held-out error over that of the last epoch", yscale="log")
    figure.legend(loc="outside lower center", ncols=len(shown), frameon=False, fontsize=8)
    PICTURES.mkdir(parents=True, exist_ok=True)
    figure.savefig(PICTURES / f"curves_{dataset}.png", dpi=120)
    return True
