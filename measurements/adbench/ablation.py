"""The parts of docs/quality.md on the measures: chosen on one half of the tables, and left out one by one."""

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from measurements.adbench.detectors import KNN, LEARNING, LOF, OURS
from measurements.adbench.jobs import job
from measurements.adbench.recorded import by_seed, by_table, compare, read, table_of
from measurements.adbench.subsets import MEASURES, key, subsets
from recording import records

ALL = key(MEASURES)
SHOWN = {
    "error": "restoring",
    "distance": "distance",
    "local distance": "local distance",
    "regression": "regression",
}
"""How the page names the measures."""


def read_subsets(names: Sequence[str], seeds: Sequence[int]) -> pd.DataFrame:
    """AUROC of every subset of the measures, a row for each table, seed and subset ("method")."""
    return pd.DataFrame(
        [
            {"table": name, "seed": seed, "method": subset, "auroc": auroc}
            for seed in seeds
            for name in names
            for subset, auroc in (job(name, OURS, seed).record() or {})["subsets"].items()
        ]
    )


# ----------------------------------------------------------------------------------------------- halves


class Half(NamedTuple):
    """What was chosen on one half of the tables, and what became of it on the other."""

    chosen: str  # subset of measures
    chosen_on: list[str]  # names of tables
    seen: float  # mean AUROC on them
    left_out: list[str]
    unseen: float  # mean AUROC on the left-out tables
    minus_knn: float  # mean difference on them
    minus_better: float  # mean difference to the better of KNN and LOF, table by table


def halves(subset_auroc: pd.DataFrame, auroc: pd.DataFrame) -> list[Half]:
    """Chooses on the tables with even places and looks at the odd ones, and the other way round.

    Args:
        subset_auroc: a row for each table, a column for each subset.
        auroc: a row for each table, columns of KNN and LOF.
    """
    found = []
    for on, off in ((slice(0, None, 2), slice(1, None, 2)), (slice(1, None, 2), slice(0, None, 2))):
        seen, unseen, others = subset_auroc.iloc[on], subset_auroc.iloc[off], auroc.iloc[off]
        chosen = str(seen.mean().idxmax())
        ours = unseen[chosen]
        found.append(
            Half(
                chosen,
                list(seen.index),
                float(seen[chosen].mean()),
                list(unseen.index),
                float(ours.mean()),
                float((ours - others[KNN.key]).mean()),
                float((ours - others[[KNN.key, LOF.key]].max(axis=1)).mean()),
            )
        )
    return found


def scoreboard(found: Sequence[Half], seeds: int) -> dict[str, dict[str, float]]:
    """The figures that have a target: means over all tables, each of which was left out once."""
    tables = sum(len(half.left_out) for half in found)

    def mean(name: str) -> dict[str, float]:
        return records.figure(sum(getattr(half, name) * len(half.left_out) for half in found) / tables, n=seeds)

    return {
        "adbench/halves/ours_minus_knn": mean("minus_knn"),
        "adbench/halves/ours_minus_better_of_knn_and_lof": mean("minus_better"),
    }


def halves_page(found: Sequence[Half], seeds: int) -> list[str]:
    """The lines on the halves."""
    figures = scoreboard(found, seeds).values()
    rows = [
        [
            f"{half.chosen_on[0]}, {half.chosen_on[1]}, …" if len(half.chosen_on) > 1 else half.chosen_on[0],
            _shown(half.chosen),
            *(f"{value:.4f}" for value in (half.seen, half.unseen)),
            *(f"{value:+.4f}" for value in (half.minus_knn, half.minus_better)),
        ]
        for half in found
    ]
    header = (
        "chosen on",
        "measures",
        "AUROC there",
        "on the other half",
        "minus KNN",
        "minus the better of KNN and LOF",
    )
    return [
        "",
        "## Chosen on one half of the tables, looked at on the other",
        "",
        f"Every second table is one half. The {len(subsets())} subsets of the measures compete by their mean AUROC on "
        "one, and the winner is compared on the other half, where it was not chosen. This holds for the choice of "
        "measures alone: how they are computed and weighted was chosen with all tables in view.",
        "",
        *table_of(header, [*rows, ["both ways", "", "", "", *(f"{each['value']:+.4f}" for each in figures)]]),
    ]


# --------------------------------------------------------------------------------------------- ablation


def ablation_page(names: Sequence[str], subset_runs: pd.DataFrame) -> list[str]:
    """The lines on what each part adds."""
    learning = [runs for each in LEARNING if not (runs := read(names, [each], job)).empty]
    every = pd.concat([subset_runs, *learning])
    titles = {ALL: "all four: `TabularMemAE()`"}
    titles |= {key(tuple(m for m in MEASURES if m != left)): f"without {SHOWN[left]}" for left in MEASURES}
    titles |= {key((alone,)): f"{SHOWN[alone]} alone" for alone in MEASURES}
    titles |= {each.key: each.title for each in LEARNING}
    titles[key(MEASURES[:3])] += " (kept rows only)"
    present = set(every["method"])
    rows = [_ablated(title, every, method) for method, title in titles.items() if method in present]
    return [
        "",
        "## What each part adds",
        "",
        "The four measures of a row: *restoring*, how badly the nearest kept rows restore its columns; its *distance* "
        "to them; its *local distance*, relative to how far those lie from each other; and what a linear "
        "*regression* of each column on all others leaves. The score is the weighted sum of their surprises; a subset "
        "leaves out members of the sum, in the same fitted detector. The last two train a network "
        "with a memory of at most 200 items instead: with the distance to kept rows, which was the default before, and "
        "without. p is two-sided, of Wilcoxon's signed-rank test over the tables, against all four.",
        "",
        *table_of(("score", "seeds", "AUROC", "minus all four", "better / worse in", "p"), rows),
    ]


def _ablated(title: str, runs: pd.DataFrame, method: str) -> list[str]:
    """A row of the table."""
    own = runs[runs["method"] == method]
    same = runs[(runs["method"] == ALL) & runs["seed"].isin(own["seed"].unique())]
    each = by_seed(own)[method]
    start = [title, f"{len(each)}", f"{each.mean():.4f} ± {each.std(ddof=0):.4f}"]
    if method == ALL:
        return [*start, "", "", ""]
    found = compare(by_table(own)[method], by_table(same)[ALL])
    return [*start, f"{found.difference:+.4f}", f"{found.wins} / {found.losses}", f"{found.two_sided:.3f}"]


def _shown(subset: str) -> str:
    return ", ".join(SHOWN[measure] for measure in subset.split("+"))
