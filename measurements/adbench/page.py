"""docs/quality.md, its plots, and results/adbench.json, from the recorded runs."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from measurements.adbench.detectors import AUTOENCODER, DETECTORS, OURS, OURS_TOLD, UNCLEAN
from measurements.adbench.jobs import SEEDS, job, unclean_jobs
from recording import pictures, records
from reproduction.protocol import FEWEST_CONTAMINATED, SHARES

PAGE = records.ROOT / "docs" / "quality.md"
PICTURE = records.ROOT / "docs" / "quality" / "ranks.png"
NOTES = Path(__file__).with_name("notes.md")
DECAY = PICTURE.with_name("unclean.png")


def read() -> pd.DataFrame:
    """All runs, a row each, of the seeds for which every method is recorded on every recorded table."""
    runs = records.RESULTS / "runs" / "adbench"
    names = [path.name for path in runs.iterdir() if path.is_dir()] if runs.exists() else []
    kept = ("auroc", "average_precision", "fit_seconds", "score_seconds", "provenance")
    rows = []
    for seed in range(SEEDS):
        found = [
            ({"table": name, "method": detector.key, "seed": seed}, job(name, detector, seed).record())
            for name in sorted(names, key=lambda name: int(name.split("_")[0]))
            for detector in DETECTORS
        ]
        if all(record is not None for _, record in found):
            rows += [run | {key: record[key] for key in kept} for run, record in found if record]
    return pd.DataFrame(rows)


def render() -> None:
    """Writes the page, its plot and the summary; nothing as long as no seed is complete."""
    runs = read()
    if runs.empty:
        return
    auroc = by_table(runs, "auroc")
    command = "python -m measurements adbench"
    origin = records.together(runs["provenance"].tolist(), command)
    parts = {"detectors": {"provenance": origin, "figures": scoreboard(runs)}}
    lines = page(runs)
    plot(auroc)
    unclean = read_unclean(auroc.index)
    if not unclean.empty:
        origin = records.together(unclean["provenance"].tolist(), command)
        parts["unclean"] = {"provenance": origin, "figures": unclean_scoreboard(unclean)}
        lines += unclean_page(unclean)
        plot_decay(unclean)
    lines += ["", *NOTES.read_text(encoding="utf-8").splitlines()]
    records.write(records.RESULTS / "adbench.json", parts)
    records.summarise()
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")


def by_table(runs: pd.DataFrame, figure: str) -> pd.DataFrame:
    """A figure, mean over the seeds: a row for each table, a column for each method."""
    return runs.pivot_table(figure, "table", "method", sort=False)[[detector.key for detector in DETECTORS]]


def ranks(auroc: pd.DataFrame) -> "pd.Series[float]":
    """Mean rank of each method over the tables, 1 the best."""
    return auroc.rank(axis=1, ascending=False).mean()


def scoreboard(runs: pd.DataFrame) -> dict[str, dict[str, float]]:
    """The figures that have a target."""
    each = runs.pivot_table("auroc", "seed", "method")  # mean of the tables
    gaps = each[OURS.key] - each[[detector.key for detector in DETECTORS if detector.neural]].max(axis=1)
    seeds = len(gaps)
    seconds = by_table(runs, "fit_seconds").median()
    rank = float(ranks(by_table(runs, "auroc")).rank()[OURS.key])
    return {
        "adbench/ours/rank_among_detectors": records.figure(rank, n=seeds),
        "adbench/ours/auroc_minus_best_neural": records.figure(gaps.mean(), gaps.std(ddof=0), seeds),
        "adbench/ours/fit_time_vs_pyod_autoencoder": records.figure(
            seconds[OURS.key] / seconds[AUTOENCODER.key], n=seeds
        ),
    }


def page(runs: pd.DataFrame) -> list[str]:
    """The lines of the part on clean rows."""
    auroc = by_table(runs, "auroc")
    seeds = runs["seed"].nunique()
    counted = f"{seeds} seeds" if seeds == SEEDS else f"{seeds} of {SEEDS} seeds so far"
    return [
        "# Tables that users judge by",
        "",
        f"{len(auroc)} tables of [ADBench](https://github.com/Minqi824/ADBench) as one-class problems: 70 % of the "
        "normal rows for training (at most 20,000, sampled with the seed, so that the quadratic detectors finish), all "
        f"other rows for the test; {counted}. All detectors get the same rows, standardised by the training rows, and "
        "have their default settings: `TabularMemAE()`, and ten of PyOD. Rendered by `python -m measurements adbench`.",
        "",
        "`TabularMemAE()` has one set of defaults for all tables. It was chosen in prototypes on these tables (except "
        "InternetAds) with their labels in view, as the defaults of others were on tables of their own. To see how it "
        "does elsewhere, look at tables that are not here.",
        "",
        *ranking(runs, auroc),
        "",
        "Ranks are those of the mean AUROC over the seeds, 1 the best. ± is the standard deviation over the seeds of "
        "the mean over the tables. Seconds are medians over the tables, on one core of a shared machine.",
        "",
        f"![mean ranks and critical difference]({PICTURE.parent.name}/{PICTURE.name})",
        "",
        "Detectors joined by a bar do not differ significantly (Nemenyi's test after Friedman's, 5 %).",
        "",
        *each_table(auroc),
    ]


def ranking(runs: pd.DataFrame, auroc: pd.DataFrame) -> list[str]:
    """The detectors, the best first."""
    means = {key: by_table(runs, key).mean() for key in ("auroc", "average_precision")}
    seconds = {key: by_table(runs, key).median() for key in ("fit_seconds", "score_seconds")}
    spread = runs.pivot_table("auroc", "seed", "method").std(ddof=0)
    rank = ranks(auroc)
    first = auroc.rank(axis=1, ascending=False, method="min").eq(1).sum()
    lines = [
        "| detector | mean rank | AUROC | average precision | first in | seconds to fit | to score |",
        "|---|---|---|---|---|---|---|",
    ]
    for detector in sorted(DETECTORS, key=lambda detector: rank[detector.key]):
        key = detector.key
        cells = [
            detector.name,
            f"{rank[key]:.2f}",
            f"{means['auroc'][key]:.4f} ± {spread[key]:.4f}",
            f"{means['average_precision'][key]:.4f}",
            f"{first[key]}",
            f"{seconds['fit_seconds'][key]:.2f}",
            f"{seconds['score_seconds'][key]:.3f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def each_table(auroc: pd.DataFrame) -> list[str]:
    """AUROC of each detector on each table, the best in bold."""
    lines = [f"| AUROC | {' | '.join(auroc.columns)} |", "|---" * (len(auroc.columns) + 1) + "|"]
    for name, values in auroc.iterrows():
        best = values.max()
        cells = [f"**{value:.3f}**" if value == best else f"{value:.3f}" for value in values]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def plot(auroc: pd.DataFrame) -> None:
    """Mean ranks, joined where they do not differ (Demšar, JMLR 2006)."""
    import scikit_posthocs  # noqa: PLC0415 (of the extra bench)

    figure = pictures.figure(8, 3)
    scikit_posthocs.critical_difference_diagram(
        ranks(auroc),
        scikit_posthocs.posthoc_nemenyi_friedman(auroc.to_numpy())
        .set_axis(auroc.columns, axis=0)
        .set_axis(auroc.columns, axis=1),
        ax=figure.subplots(),
    )
    pictures.save(figure, PICTURE, 120)


# --------------------------------------------------------------------- anomalies among the training rows


def read_unclean(names: Iterable[str]) -> pd.DataFrame:
    """All runs with training rows that are not clean, a row each, of the tables that are complete and large enough."""
    rows = []
    for name in names:
        found = [(each.arguments, each.record()) for each in unclean_jobs([name], DETECTORS, range(SEEDS))]
        if all(record is not None and record["auroc"] is not None for _, record in found):
            rows += [arguments | record for arguments, record in found if record]
    return pd.DataFrame(rows)


def means_by_share(unclean: pd.DataFrame) -> dict[str, list[float]]:
    """AUROC of each detector, mean of tables and seeds, share by share; without anomalies no share is given to ours."""
    mean = unclean.groupby(["method", "share"])["auroc"].mean().to_dict()
    clean = {OURS_TOLD: OURS}
    return {
        detector.unclean: [mean[(detector if share else clean.get(detector, detector)).key, share] for share in SHARES]
        for detector in UNCLEAN
    }


def unclean_scoreboard(unclean: pd.DataFrame) -> dict[str, dict[str, float]]:
    """The figure that has a target: that of ours where it is given the share."""
    given = means_by_share(unclean)[OURS_TOLD.unclean]
    loss = given[0] - given[SHARES.index(0.1)]
    return {"adbench/ours/auroc_loss_at_10_percent_contamination": records.figure(loss, n=unclean["seed"].nunique())}


def unclean_page(unclean: pd.DataFrame) -> list[str]:
    """The lines of the part on training rows that are not clean."""
    lines = [
        "",
        "## Training rows that are not clean",
        "",
        "Anomalies of one half are added to the training rows, the other half is tested; the normal rows are always "
        f"the same. {unclean['name'].nunique()} tables, those with enough anomalies for {FEWEST_CONTAMINATED} normal "
        f"rows at the largest share; {unclean['seed'].nunique()} seeds. “Share given” is "
        "`TabularMemAE(contamination=share)`, which leaves out that share of the rows; all others take every row for "
        "normal.",
        "",
        f"| mean AUROC, and its change | clean | {' | '.join(f'{share:.0%}' for share in SHARES[1:])} |",
        "|---" * (len(SHARES) + 1) + "|",
    ]
    for method, (clean, *others) in means_by_share(unclean).items():
        cells = [f"{value - clean:+.4f}" for value in others]
        lines.append(f"| {method} | {clean:.4f} | {' | '.join(cells)} |")
    return [*lines, "", f"![AUROC by share of anomalies]({DECAY.parent.name}/{DECAY.name})"]


def plot_decay(unclean: pd.DataFrame) -> None:
    """AUROC by the share of anomalies."""
    figure = pictures.figure(6, 3.5)
    axes = figure.subplots()
    for method, values in means_by_share(unclean).items():
        axes.plot([100 * share for share in SHARES], values, marker="o", label=method)
    axes.set_xlabel("anomalies among the training rows, %")
    axes.set_ylabel("mean AUROC")
    axes.legend()
    pictures.save(figure, DECAY, 120)
