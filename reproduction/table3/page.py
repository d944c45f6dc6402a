"""Table 3 in docs/reproduce.md, its picture, and results/table3.json, from the recorded runs."""

import functools
import operator
from pathlib import Path

import numpy as np

from recording import pictures, records
from reproduction.table3.methods import AE, AE_LONGEST, MEMAE_LONGEST, METHODS, OURS, PAPER, PAPERS_COLUMNS, TABLE
from reproduction.tables import AnyMethod, Run, best

PICTURES = records.ROOT / "docs" / "reproduce"
NOTES = Path(__file__).with_name("notes.md")

ENDS = {AE_LONGEST: AE, MEMAE_LONGEST: PAPER}
"""For the plot: full trainings → the same methods whose training ended on a plateau."""
PROTOCOL, SHARE = "paper", "top 20 %"
SETS = {PROTOCOL: "paper's half", "all anomalies": "with all anomalies", "without duplicates": "without duplicates"}
THRESHOLDS = {SHARE: "top 20 %", "true ratio": "true ratio", "held-out 1 %": "1 % of held-out"}

Runs = list[Run]
Rows = dict[AnyMethod, Runs]


def section() -> list[str]:
    """The lines of the page; writes the picture, and the figures of the scoreboard. Nothing without a run."""
    rows = {method: runs for method in METHODS if (runs := TABLE.runs(method, PAPERS_COLUMNS))}
    if not rows:
        return []
    origins = [run["provenance"] for runs in rows.values() for run in runs]
    origin = records.together(origins, f"python -m reproduction {TABLE.name}")
    records.write(records.RESULTS / "table3.json", {"kddcup": {"provenance": origin, "figures": scoreboard(rows)}})
    lines = ["## Table 3: KDDCUP99", "", *table(rows), "", *honest(rows)]
    encodings = by_columns()
    if encodings:
        lines += ["", *encodings]
    if plot(rows):
        lines += ["", f"![F1 and held-out error against epochs]({PICTURES.name}/curves_kddcup.png)"]
    return [*lines, "", *NOTES.read_text(encoding="utf-8").splitlines()]


def of(runs: Runs, *keys: str) -> tuple[float, float, int]:
    """Mean, standard deviation and number of a figure of each run, which lies under `keys`."""
    return records.over([float(functools.reduce(operator.getitem, keys, run)) for run in runs])  # type: ignore[arg-type]


def f1(runs: Runs) -> tuple[float, float, int]:
    """The figure that the paper ranks by."""
    return of(runs, "sets", PROTOCOL, SHARE, "f1")


def scoreboard(rows: Rows) -> dict[str, dict[str, float]]:
    """The figures that have a target."""
    named = best(rows, lambda runs: f1(runs)[0])
    found = {f"{name}/f1": records.figure(*f1(rows[method])) for name, method in named.items()}
    if OURS in rows:
        found["ours/auroc"] = records.figure(*of(rows[OURS], "sets", PROTOCOL, "auroc"))
        controls = [f1(runs)[0] for method, runs in rows.items() if method.control]
        if controls:
            value, std, n = f1(rows[OURS])
            found["ours_minus_best_control/f1"] = records.figure(value - max(controls), std, n)
    return {f"{TABLE.name}/kddcup/{key}": each for key, each in found.items()}


def table(rows: Rows) -> list[str]:
    """Each method beside the paper's figures."""
    lines = [
        "| method | paper: precision / recall / F1 | here: precision / recall | F1, mean of the runs | difference "
        "| AUROC | runs | epochs | seconds a run |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for method, runs in rows.items():
        mean, std, n = f1(runs)
        printed = method.published
        epochs = [run["epoch"] for run in runs if "epoch" in run]
        cells = [
            method.title,
            " / ".join(f"{value:.4f}" for value in printed.values()) if printed else "–",
            " / ".join(f"{of(runs, 'sets', PROTOCOL, SHARE, key)[0]:.4f}" for key in ("precision", "recall")),
            f"{mean:.4f} ± {std:.4f}",
            f"{mean - printed['f1']:+.4f}" if printed else "–",
            f"{of(runs, 'sets', PROTOCOL, 'auroc')[0]:.4f}",
            f"{n}",
            f"{min(epochs)}–{max(epochs)}" if epochs else "–",
            f"{of(runs, 'seconds')[0]:.0f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return [
        *lines,
        "",
        "The paper's protocol: training uses the attacks, which are the normal class, of a random half of the 494,021 "
        "rows. The other half is the test, and the fifth of it with the highest scores is flagged. ± is the standard "
        "deviation over the runs, each with its own halves. Seconds are those of one core of a shared machine.",
    ]


def honest(rows: Rows) -> list[str]:
    """What the protocol does not show: other thresholds, other tests."""
    lines = [
        "### Beyond the protocol",
        "",
        "F1 of the same scores at other thresholds; AUROC and average precision of the same models on other test sets:",
        "",
        f"| method | {' | '.join(f'F1, {title}' for title in THRESHOLDS.values())} | "
        f"{' | '.join(f'AUROC / AP, {title}' for title in SETS.values())} | F1 at the true ratio, without duplicates |",
        "|---" * (2 + len(THRESHOLDS) + len(SETS)) + "|",
    ]
    for method, runs in rows.items():
        cells = [method.title, *(f"{of(runs, 'sets', PROTOCOL, each, 'f1')[0]:.4f}" for each in THRESHOLDS)]
        for each in SETS:
            pair = [of(runs, "sets", each, key)[0] for key in ("auroc", "average_precision")]
            cells.append(" / ".join(f"{value:.4f}" for value in pair))
        cells.append(f"{of(runs, 'sets', 'without duplicates', 'true ratio', 'f1')[0]:.4f}")
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def by_columns() -> list[str]:
    """F1 with other numbers of columns."""
    head = sorted(TABLE.cells)
    encoded = [method for method in METHODS if len(method.seeds) > 1]
    found = {(method, columns): TABLE.runs(method, columns) for method in encoded for columns in head}
    if not any(runs for (_, columns), runs in found.items() if columns != PAPERS_COLUMNS):
        return []
    lines = [f"| F1 by number of columns | {' | '.join(head)} |", "|---" * (len(head) + 1) + "|"]
    for method in encoded:
        cells = []
        for columns in head:
            runs = found[method, columns]
            cells.append("{:.4f} ± {:.4f} ({} runs)".format(*f1(runs)) if runs else "–")
        lines.append(f"| {method.title} | {' | '.join(cells)} |")
    return lines


def plot(rows: Rows) -> bool:
    """Plots F1 of the test and held-out error against epochs, mean and range; False if no run has a curve."""
    shown = {method: rows[method] for method in ENDS if method in rows}
    if not shown:
        return False
    figure = pictures.figure(9, 3.4)
    left, right = figure.subplots(1, 2)
    for method, runs in shown.items():
        curves = np.array([run["curve"] for run in runs], float)
        errors = np.array([run["held_out_error"] for run in runs])
        seen = np.isfinite(curves).any(0)  # a resumed run may lack the epoch at which it was broken off
        curves, errors, epochs = curves[:, seen], errors[:, seen], np.flatnonzero(seen) + 1
        (line,) = left.plot(epochs, np.nanmean(curves, 0), label=method.name)
        left.fill_between(epochs, np.nanmin(curves, 0), np.nanmax(curves, 0), color=line.get_color(), alpha=0.2, lw=0)
        right.plot(epochs, errors.mean(0), color=line.get_color())
        ends = [run["epoch"] for run in rows.get(ENDS[method], [])]
        if ends:
            left.axvspan(min(ends), max(ends), color=line.get_color(), alpha=0.1, lw=0)
    left.set(xlabel="epoch", ylabel="F1 at 20 % of a part of the test", ylim=(0.5, 1))
    right.set(xlabel="epoch", ylabel="error of held-out normal rows", yscale="log")
    figure.legend(loc="outside lower center", ncols=len(shown), frameon=False, fontsize=8)
    pictures.save(figure, PICTURES / "curves_kddcup.png", 120)
    return True
