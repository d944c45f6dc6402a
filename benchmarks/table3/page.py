"""Table 3 in docs/reproduce.md, its picture, and results/table3.json, from the runs that were recorded."""

import functools
import operator
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from benchmarks import records
from benchmarks.table3 import BY_COLUMNS, COLUMNS, METHODS, job

PICTURES = records.ROOT / "docs" / "reproduce"
NOTES = records.ROOT / "benchmarks" / "table3" / "notes.md"

ROWS = {
    "ocsvm": "OC-SVM",
    "dcn": "DCN",
    "dsebm": "DSEBM (energy)",
    "dagmm": "DAGMM",
    "ae": "AE",
    "memae_nonspar": "MemAE-nonSpar",
    "memae_paper": "MemAE, as printed",
    "memae_authors": "MemAE, as the authors' code",
    "untrained_memae": "MemAE, untrained",
    "untrained_dagmm": "DAGMM, untrained",
    "ae_longest": "AE, lowest held-out error of 60 epochs",
    "memae_longest": "MemAE as printed, the same",
    "pca_2": "PCA, 2 components",
    "pca_20": "PCA, 20 components",
    "iforest": "isolation forest",
    "neighbours": "nearest neighbour",
    "ours": "**ours**: `TabularMemAE()`",
}
PUBLISHED = {
    "ocsvm": (0.7457, 0.8523, 0.7954),
    "dcn": (0.7696, 0.7829, 0.7762),
    "dsebm": (0.8619, 0.6446, 0.7399),
    "dagmm": (0.9297, 0.9442, 0.9369),
    "ae": (0.9328, 0.9356, 0.9342),
    "memae_nonspar": (0.9341, 0.9368, 0.9355),
    "memae_paper": (0.9627, 0.9655, 0.9641),
    "memae_authors": (0.9627, 0.9655, 0.9641),
}
"""Precision, recall and F1 of Table 3 of the paper."""
LONGEST = {"ae_longest": ("AE", "ae"), "memae_longest": ("MemAE", "memae_paper")}
"""Of the picture: trainings to the end, what they are called there, and the same that ended on a plateau."""
CONTROLS = ("untrained_memae", "untrained_dagmm", "pca_2", "pca_20", "iforest", "neighbours")
PROTOCOL, SHARE = "paper", "top 20 %"
SETS = {PROTOCOL: "paper's half", "all anomalies": "with all anomalies", "without duplicates": "without duplicates"}
THRESHOLDS = {SHARE: "top 20 %", "true ratio": "true ratio", "held-out 1 %": "1 % of held-out"}

Run = dict[str, Any]
Runs = list[Run]


def read(method: str, columns: int = 120) -> Runs:
    """All recorded runs of a method."""
    found = [job(method, seed, columns).record() for seed in range(METHODS[method])]
    return [run for run in found if run is not None]


def section() -> list[str]:
    """The lines of the page; writes the picture, and the figures of the scoreboard. Nothing without a run."""
    rows = {name: runs for name in ROWS if (runs := read(name))}
    if not rows:
        return []
    told = [run["provenance"] for runs in rows.values() for run in runs]
    origin = records.together(told, "python -m benchmarks table3")
    records.write(records.RESULTS / "table3.json", {"kddcup": {"provenance": origin, "figures": scoreboard(rows)}})
    lines = ["## Table 3: KDDCUP99", "", *table(rows), "", *honest(rows)]
    encodings = by_columns()
    if encodings:
        lines += ["", *encodings]
    if draw(rows):
        lines += ["", f"![F1 and held-out error against epochs]({PICTURES.name}/curves_kddcup.png)"]
    return [*lines, "", *NOTES.read_text(encoding="utf-8").splitlines()]


def of(runs: Runs, *keys: str) -> tuple[float, float, int]:
    """Mean, standard deviation and number of a figure of each run, which lies under `keys`."""
    return records.over([float(functools.reduce(operator.getitem, keys, run)) for run in runs])  # type: ignore[arg-type]


def f1(runs: Runs) -> tuple[float, float, int]:
    """The figure that the paper ranks by."""
    return of(runs, "sets", PROTOCOL, SHARE, "f1")


def scoreboard(rows: dict[str, Runs]) -> dict[str, dict[str, float]]:
    """The figures that have a target."""
    plain = [name for name in PUBLISHED if not name.startswith("memae_")]
    named = {name: name for name in (*plain, "memae_nonspar", "ours") if name in rows}
    settings = [name for name in ("memae_paper", "memae_authors") if name in rows]
    if settings:
        named["memae"] = max(settings, key=lambda name: f1(rows[name])[0])
    found = {f"{key}/f1": records.figure(*f1(rows[name])) for key, name in named.items()}
    if "ours" in rows:
        found["ours/auroc"] = records.figure(*of(rows["ours"], "sets", PROTOCOL, "auroc"))
        controls = [f1(rows[name])[0] for name in CONTROLS if name in rows]
        if controls:
            value, std, n = f1(rows["ours"])
            found["ours_minus_best_control/f1"] = records.figure(value - max(controls), std, n)
    return {f"table3/kddcup/{key}": each for key, each in found.items()}


def table(rows: dict[str, Runs]) -> list[str]:
    """Every method beside the paper's figures."""
    lines = [
        "| method | paper: precision / recall / F1 | here: precision / recall | F1, mean of the runs | difference "
        "| AUROC | runs | epochs | seconds a run |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, runs in rows.items():
        mean, std, n = f1(runs)
        printed = PUBLISHED.get(name)
        epochs = [run["epoch"] for run in runs if "epoch" in run]
        cells = [
            ROWS[name],
            "–" if printed is None else " / ".join(f"{value:.4f}" for value in printed),
            " / ".join(f"{of(runs, 'sets', PROTOCOL, SHARE, key)[0]:.4f}" for key in ("precision", "recall")),
            f"{mean:.4f} ± {std:.4f}",
            "–" if printed is None else f"{mean - printed[2]:+.4f}",
            f"{of(runs, 'sets', PROTOCOL, 'auroc')[0]:.4f}",
            f"{n}",
            f"{min(epochs)}–{max(epochs)}" if epochs else "–",
            f"{of(runs, 'seconds')[0]:.0f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return [
        *lines,
        "",
        "The paper's protocol: a random half of the 494,021 rows to learn, its attacks alone, which are the normal "
        "class; the other half is the test, and its fifth with the highest score is flagged. ± is the standard "
        "deviation over the runs, each with its own halves. Seconds are of a core of a shared machine.",
    ]


def honest(rows: dict[str, Runs]) -> list[str]:
    """What the protocol does not show: other thresholds, other tests."""
    lines = [
        "### The honest page",
        "",
        "F1 of the same scores at other thresholds, and AUROC and average precision on other tests of the same models:",
        "",
        f"| method | {' | '.join(f'F1, {title}' for title in THRESHOLDS.values())} | "
        f"{' | '.join(f'AUROC / AP, {title}' for title in SETS.values())} | F1 at the true ratio, without duplicates |",
        "|---" * (2 + len(THRESHOLDS) + len(SETS)) + "|",
    ]
    for name, runs in rows.items():
        cells = [ROWS[name], *(f"{of(runs, 'sets', PROTOCOL, each, 'f1')[0]:.4f}" for each in THRESHOLDS)]
        for each in SETS:
            pair = [of(runs, "sets", each, key)[0] for key in ("auroc", "average_precision")]
            cells.append(" / ".join(f"{value:.4f}" for value in pair))
        cells.append(f"{of(runs, 'sets', 'without duplicates', 'true ratio', 'f1')[0]:.4f}")
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def by_columns() -> list[str]:
    """F1 with other numbers of columns."""
    found = {(name, columns): read(name, columns) for name in BY_COLUMNS for columns in (120, *COLUMNS)}
    if not any(runs for (_, columns), runs in found.items() if columns != 120):
        return []
    head = sorted((120, *COLUMNS))
    lines = [f"| F1 by number of columns | {' | '.join(map(str, head))} |", "|---" * (len(head) + 1) + "|"]
    for name in BY_COLUMNS:
        cells = []
        for columns in head:
            runs = found[name, columns]
            cells.append("{:.4f} ± {:.4f} ({} runs)".format(*f1(runs)) if runs else "–")
        lines.append(f"| {ROWS[name]} | {' | '.join(cells)} |")
    return lines


def draw(rows: dict[str, Runs]) -> bool:
    """F1 of the test and held-out error against epochs, mean and range; whether there was anything to draw."""
    shown = {name: rows[name] for name in LONGEST if name in rows}
    if not shown:
        return False
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, runs in shown.items():
        title, plateau = LONGEST[name]
        curves = np.array([run["curve"] for run in runs], float)
        errors = np.array([run["held_out_error"] for run in runs])
        seen = np.isfinite(curves).any(0)  # a resumed run may lack the epoch at which it was broken off
        curves, errors, epochs = curves[:, seen], errors[:, seen], np.flatnonzero(seen) + 1
        (line,) = left.plot(epochs, np.nanmean(curves, 0), label=title)
        left.fill_between(epochs, np.nanmin(curves, 0), np.nanmax(curves, 0), color=line.get_color(), alpha=0.2, lw=0)
        right.plot(epochs, errors.mean(0), color=line.get_color())
        ends = [run["epoch"] for run in rows.get(plateau, [])]
        if ends:
            left.axvspan(min(ends), max(ends), color=line.get_color(), alpha=0.1, lw=0)
    left.set(xlabel="epoch", ylabel="F1 at 20 % of a part of the test", ylim=(0.5, 1))
    right.set(xlabel="epoch", ylabel="error of held-out normal rows", yscale="log")
    figure.legend(loc="outside lower center", ncols=len(shown), frameon=False, fontsize=8)
    PICTURES.mkdir(parents=True, exist_ok=True)
    figure.savefig(PICTURES / "curves_kddcup.png", dpi=120)
    return True
