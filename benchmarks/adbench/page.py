"""docs/quality.md and its plot, and results/adbench.json, from the runs that were recorded."""

import statistics

import pandas as pd
import scikit_posthocs
from matplotlib.figure import Figure

from benchmarks import records
from benchmarks.adbench import METHODS, SEEDS, job

PAGE = records.ROOT / "docs" / "quality.md"
PICTURE = records.ROOT / "docs" / "quality" / "ranks.png"
NEURAL = ("AutoEncoder", "DeepSVDD", "VAE")
TITLES = {"ours": "**ours**: `TabularMemAE()`"}


def read() -> pd.DataFrame:
    """All runs, a row each, of the tables on which every method is recorded with every seed."""
    runs = records.RESULTS / "runs" / "adbench"
    names = [path.name for path in runs.iterdir() if path.is_dir()] if runs.exists() else []
    found = {
        (name, method, seed): record
        for name in sorted(names, key=lambda name: int(name.split("_")[0]))
        for method in METHODS
        for seed in range(SEEDS)
        if (record := job(name, method, seed).record()) is not None
    }
    wanted = len(METHODS) * SEEDS
    complete = {name for name in names if sum(key[0] == name for key in found) == wanted}
    kept = ("auroc", "average_precision", "fit_seconds", "score_seconds", "provenance")
    return pd.DataFrame(
        [
            {"table": name, "method": method, "seed": seed, **{key: record[key] for key in kept}}
            for (name, method, seed), record in found.items()
            if name in complete
        ]
    )


def render() -> None:
    """Writes the page, its plot and the summary; nothing as long as no table is complete."""
    runs = read()
    if runs.empty:
        return
    auroc = by_table(runs, "auroc")
    origin = records.together(runs["provenance"].tolist(), "python -m benchmarks adbench")
    records.write(records.RESULTS / "adbench.json", {"detectors": {"provenance": origin, "figures": scoreboard(runs)}})
    records.summarise()
    draw(auroc)
    PAGE.write_text("\n".join(page(runs)) + "\n", encoding="utf-8")


def by_table(runs: pd.DataFrame, figure: str) -> pd.DataFrame:
    """A figure, mean of the seeds: a row a table, a column a method."""
    return runs.pivot_table(figure, "table", "method", sort=False)[list(METHODS)]


def ranks(auroc: pd.DataFrame) -> "pd.Series[float]":
    """Mean rank of each method over the tables, 1 the best."""
    return auroc.rank(axis=1, ascending=False).mean()


def scoreboard(runs: pd.DataFrame) -> dict[str, dict[str, float]]:
    """The figures that have a target."""
    each = runs.pivot_table("auroc", "seed", "method")  # mean of the tables
    gaps = (each["ours"] - each[list(NEURAL)].max(axis=1)).tolist()
    seconds = by_table(runs, "fit_seconds").median()
    rank = float(ranks(by_table(runs, "auroc")).rank()["ours"])
    return {
        "adbench/ours/rank_among_detectors": records.figure(rank, n=SEEDS),
        "adbench/ours/auroc_minus_best_neural": records.figure(statistics.mean(gaps), statistics.stdev(gaps), SEEDS),
        "adbench/ours/fit_time_vs_pyod_autoencoder": records.figure(seconds["ours"] / seconds["AutoEncoder"], n=SEEDS),
    }


def page(runs: pd.DataFrame) -> list[str]:
    """The lines of the page."""
    auroc = by_table(runs, "auroc")
    means = {key: by_table(runs, key).mean() for key in ("auroc", "average_precision")}
    seconds = {key: by_table(runs, key).median() for key in ("fit_seconds", "score_seconds")}
    spread = runs.pivot_table("auroc", "seed", "method").std()
    rank = ranks(auroc)
    lines = [
        "# Tables that users judge by",
        "",
        f"{len(auroc)} tables of [ADBench](https://github.com/Minqi824/ADBench), one class: 70 % of the normal rows "
        "for training (at most 20,000, drawn by seed, so that the quadratic detectors finish), all other rows for the "
        f"test; {SEEDS} seeds. All detectors are given the same rows, standardised by those for training, and have "
        "their default settings: `TabularMemAE()`, and ten of PyOD. Rendered by `python -m benchmarks adbench`.",
        "",
        "| detector | mean rank | AUROC | average precision | first in | seconds to fit | to score |",
        "|---|---|---|---|---|---|---|",
    ]
    first = auroc.rank(axis=1, ascending=False, method="min").eq(1).sum()
    for method in sorted(METHODS, key=lambda method: rank[method]):
        cells = [
            TITLES.get(method, method),
            f"{rank[method]:.2f}",
            f"{means['auroc'][method]:.4f} ± {spread[method]:.4f}",
            f"{means['average_precision'][method]:.4f}",
            f"{first[method]}",
            f"{seconds['fit_seconds'][method]:.2f}",
            f"{seconds['score_seconds'][method]:.3f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        "Ranks are of the mean AUROC of the seeds, 1 the best. ± is the standard deviation of the tables' mean over "
        "the seeds. Seconds are medians over the tables, of a core of a shared machine.",
        "",
        f"![mean ranks and critical difference]({PICTURE.parent.name}/{PICTURE.name})",
        "",
        "Detectors that a bar joins do not differ significantly (Nemenyi's test after Friedman's, 5 %).",
        "",
        f"| AUROC | {' | '.join(METHODS)} |",
        "|---" * (len(METHODS) + 1) + "|",
    ]
    for name, values in auroc.iterrows():
        best = values.max()
        cells = [f"**{value:.3f}**" if value == best else f"{value:.3f}" for value in values]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def draw(auroc: pd.DataFrame) -> None:
    """Mean ranks, joined where they do not differ (Demšar, JMLR 2006)."""
    figure = Figure(figsize=(8, 3), layout="constrained")
    scikit_posthocs.critical_difference_diagram(
        ranks(auroc),
        scikit_posthocs.posthoc_nemenyi_friedman(auroc.to_numpy()).set_axis(METHODS, axis=0).set_axis(METHODS, axis=1),
        ax=figure.subplots(),
    )
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(PICTURE, dpi=120)
