"""Table 1 in docs/reproduce.md, its pictures, and results/table1.json, from the recorded runs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from recording import pictures, records
from reproduction.table1.methods import AE, METHODS, NEIGHBOUR, NONSPAR, OURS, OURS_WITHOUT_MEMORY, TABLE
from reproduction.tables import AnyMethod, Run, best

PICTURES = records.ROOT / "docs" / "reproduce"
NOTES = Path(__file__).with_name("notes.md")

CLASSES = {
    "mnist": tuple("0123456789"),
    "cifar10": ("plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
}


class Row(NamedTuple):
    """All runs of a method on a data set."""

    runs: list[list[Run]]  # by seed, by class

    def of(self, get: Callable[[Run], float]) -> NDArray[np.float64]:
        """A figure of each run `(seeds, classes)`."""
        return np.array([[get(run) for run in each] for each in self.runs])

    def auroc(self, score: str | None = None) -> NDArray[np.float64]:
        """AUROC `(seeds, classes)` under a score, by default the method's own."""
        return self.of(lambda run: run["auroc"][run["score"] if score is None else score])


Rows = dict[AnyMethod, Row]


def read(dataset: str) -> Rows:
    """The rows of a data set: methods for which all ten classes of at least one seed are recorded."""
    found = {method: TABLE.recorded(method, dataset) for method in METHODS}
    return {method: Row(runs) for method, runs in found.items() if runs}


def section() -> list[str]:
    """The lines of the page; writes pictures, and the figures of the scoreboard."""
    tables = {dataset: rows for dataset in TABLE.cells if (rows := read(dataset))}
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
            f"### {TABLE.cells[dataset]}",
            "",
            *table(dataset, rows),
            "",
            *paired(rows),
            "",
            *other_scores(rows),
            "",
            *by_class(dataset, rows),
        ]
        if plot(dataset, rows):
            lines += ["", f"![AUROC and held-out error against epochs]({PICTURES.name}/curves_{dataset}.png)"]
    return [*lines, "", *NOTES.read_text(encoding="utf-8").splitlines()]


def origin(rows: Rows) -> dict[str, Any]:
    """The joint provenance of the runs of a data set."""
    origins = [run["provenance"] for row in rows.values() for each in row.runs for run in each]
    return records.together(origins, "python -m reproduction table1")


def over_seeds(auroc: NDArray[np.float64]) -> tuple[float, float, int]:
    """Mean over classes: its mean, standard deviation and number over the seeds."""
    return records.over(auroc.mean(1).tolist())


def _mean(row: Row) -> float:
    return float(row.auroc().mean())


def controls(rows: Rows) -> dict[str, float]:
    """The mean AUROC of each control: on pixels, without memory, and AE under other scores."""
    found = {method.title: _mean(row) for method, row in rows.items() if method.control}
    if AE in rows:
        names = rows[AE].runs[0][0]["auroc"]
        found |= {f"AE, score: {name}": float(rows[AE].auroc(name).mean()) for name in names}
    return found


def scoreboard(dataset: str, rows: Rows) -> dict[str, dict[str, float]]:
    """The figures that have a target."""
    named = best(rows, _mean)
    found = {f"{name}/auroc": records.figure(*over_seeds(rows[method].auroc())) for name, method in named.items()}
    if "memae" in named and AE in rows:
        gaps = _gaps(rows[named["memae"]], rows[AE]).mean(1)
        found["memae_minus_ae/auroc_worst_seed"] = records.figure(float(gaps.min()), float(gaps.std()), len(gaps))
    if OURS in rows and controls(rows):
        value, std, n = over_seeds(rows[OURS].auroc())
        found["ours_minus_best_control/auroc"] = records.figure(value - max(controls(rows).values()), std, n)
    return {f"{TABLE.name}/{dataset}/{key}": each for key, each in found.items()}


def _gaps(above: Row, below: Row) -> NDArray[np.float64]:
    """Difference of the AUROCs of the seeds that both have `(seeds, classes)`."""
    seeds = min(len(above.runs), len(below.runs))
    found: NDArray[np.float64] = above.auroc()[:seeds] - below.auroc()[:seeds]
    return found


def table(dataset: str, rows: Rows) -> list[str]:
    """Each method beside the paper's figure."""
    lines = [
        "| method | paper | here: AUROC, mean of 10 classes | 95 % interval | difference | average precision "
        "| best epoch on the test † | seconds a class |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [_line(method, row, method.published.get(dataset)) for method, row in rows.items()]
    for name, value in controls(rows).items():
        if name.startswith("AE, "):
            lines.append(f"| control: {name} | – | {value:.4f} | – | – | – | – | – |")
    return [
        *lines,
        "",
        "± is the standard deviation over the seeds, the interval Student's for their mean; a seed samples the images, "
        "the weights and the order. † chosen with the test's labels, so not a result: it shows how much is lost by "
        "choosing the epoch on held-out normal images. Seconds are those of one core of a shared machine.",
    ]


def _line(method: AnyMethod, row: Row, printed: float | None) -> str:
    mean, std, n = over_seeds(row.auroc())
    reach = float(stats.t.ppf(0.975, n - 1)) * std / n**0.5 if n > 1 else None
    cells = [
        method.title,
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
    return f"| {' | '.join(cells)} |"


def paired(rows: Rows) -> list[str]:
    """MemAE against AE, and ours against controls, class by class."""
    lines = []
    memae = best(rows, _mean).get("memae")
    pairs = [(memae, AE), (NONSPAR, AE), (OURS, AE), (OURS, NEIGHBOUR), (OURS, OURS_WITHOUT_MEMORY)]
    for above, below in pairs:
        if above is None or above not in rows or below not in rows:
            continue
        gaps = _gaps(rows[above], rows[below])
        each = gaps.mean(0)
        seeds = ", ".join(f"{gap:+.4f}" for gap in gaps.mean(1))
        p = float(stats.wilcoxon(each).pvalue)
        lines.append(
            f"- {above.title} over {below.title}: {seeds} by seed; better in {int((each > 0).sum())} of 10 classes, "
            f"Wilcoxon's signed-rank test over the classes p = {p:.3g}."
        )
    return lines


def other_scores(rows: Rows) -> list[str]:
    """The same runs under other scores or settings; mean AUROC over classes and seeds."""
    lines = ["AUROC of the same methods under other scores and settings, for comparison:", ""]
    for method, row in rows.items():
        first = row.runs[0][0]
        found = [f"{each} {row.auroc(each).mean():.4f}" for each in first["auroc"] if each != first["score"]]
        if found:
            lines.append(f"- {method.title}: {', '.join(found)}")
    return lines if len(lines) > 2 else []


def by_class(dataset: str, rows: Rows) -> list[str]:
    """AUROC of each class, mean of the seeds."""
    lines = [f"| AUROC by class | {' | '.join(CLASSES[dataset])} |", "|---" * 11 + "|"]
    for method, row in rows.items():
        lines.append(f"| {method.title} | {' | '.join(f'{value:.3f}' for value in row.auroc().mean(0))} |")
    return lines


def plot(dataset: str, rows: Rows) -> bool:
    """Plots AUROC and held-out error against epochs, mean and range of the seeds; False if no run has a curve."""
    shown = {method: row for method, row in rows.items() if "curve" in row.runs[0][0]}
    if not shown:
        return False
    figure = pictures.figure(9, 3.4)
    left, right = figure.subplots(1, 2)
    for method, row in shown.items():
        seeds = len(row.runs)
        curves = np.array([[run["curve"] for run in each] for each in row.runs], float).reshape(seeds, 10, -1)
        errors = np.array([[run["held_out_error"] for run in each] for each in row.runs]).mean((0, 1))
        epochs = np.arange(1, curves.shape[2] + 1)
        each = np.nanmean(curves, 1)
        (line,) = left.plot(epochs, each.mean(0), label=method.title)
        left.fill_between(epochs, each.min(0), each.max(0), color=line.get_color(), alpha=0.2, linewidth=0)
        right.plot(epochs, errors / errors[-1], color=line.get_color())
    left.set(xlabel="epoch", ylabel="AUROC of the test, mean of 10 classes")
    right.set(xlabel="epoch", ylabel="held-out error over that of the last epoch", yscale="log")
    figure.legend(loc="outside lower center", ncols=len(shown), frameon=False, fontsize=8)
    pictures.save(figure, PICTURES / f"curves_{dataset}.png", 120)
    return True
