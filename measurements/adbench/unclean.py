"""The part of docs/quality.md on training rows that are not clean."""

from collections.abc import Iterable

import pandas as pd

from measurements.adbench.detectors import DETECTORS, OURS, OURS_TOLD, UNCLEAN
from measurements.adbench.jobs import SEEDS, unclean_jobs
from measurements.adbench.recorded import table_of
from recording import pictures, records
from reproduction.protocol import FEWEST_CONTAMINATED, SHARES

PICTURE = records.ROOT / "docs" / "quality" / "unclean.png"


def read(names: Iterable[str]) -> pd.DataFrame:
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


def scoreboard(unclean: pd.DataFrame) -> dict[str, dict[str, float]]:
    """The figure that has a target: that of ours where it is given the share."""
    given = means_by_share(unclean)[OURS_TOLD.unclean]
    loss = given[0] - given[SHARES.index(0.1)]
    return {"adbench/ours/auroc_loss_at_10_percent_contamination": records.figure(loss, n=unclean["seed"].nunique())}


def page(unclean: pd.DataFrame) -> list[str]:
    """The lines of the part on training rows that are not clean."""
    rows = [
        [method, f"{clean:.4f}", *(f"{value - clean:+.4f}" for value in others)]
        for method, (clean, *others) in means_by_share(unclean).items()
    ]
    return [
        "",
        "## Training rows that are not clean",
        "",
        "Anomalies of one half are added to the training rows, the other half is tested; the normal rows are always "
        f"the same. {unclean['name'].nunique()} tables, those with enough anomalies for {FEWEST_CONTAMINATED} normal "
        f"rows at the largest share; {unclean['seed'].nunique()} seeds. “Share given” is "
        "`TabularMemAE(contamination=share)`, which leaves out that share of the rows; all others take every row for "
        "normal.",
        "",
        *table_of(("mean AUROC, and its change", "clean", *(f"{share:.0%}" for share in SHARES[1:])), rows),
        "",
        f"![AUROC by share of anomalies]({PICTURE.parent.name}/{PICTURE.name})",
    ]


def plot(unclean: pd.DataFrame) -> None:
    """AUROC by the share of anomalies."""
    figure = pictures.figure(6, 3.5)
    axes = figure.subplots()
    for method, values in means_by_share(unclean).items():
        axes.plot([100 * share for share in SHARES], values, marker="o", label=method)
    axes.set_xlabel("anomalies among the training rows, %")
    axes.set_ylabel("mean AUROC")
    axes.legend()
    pictures.save(figure, PICTURE, 120)
