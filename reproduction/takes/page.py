"""docs/takes.md and its pictures, and results/takes.json, from whatever runs are recorded."""

import sys
from collections.abc import Iterable
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np

from recording import pictures, records
from recording.jobs import Job
from reproduction.takes.design import Factor, Level, Study
from reproduction.takes.runs import LAST, LOWEST, job
from reproduction.takes.settings import VARIANTS, Setting
from reproduction.takes.stages import PLAIN, RECODED, SEEDS, STAGES, Row, best, figure_of, partly, records_of, row
from reproduction.takes.studies import STUDIES

PAGE = records.ROOT / "docs" / "takes.md"
PICTURES = PAGE.with_name("takes")
NOTES = Path(__file__).with_name("notes.md")
SELECTED = (
    "**Chosen with the labels of the test**: this shows what a choice can make of a figure, and no default follows."
)
FEWEST = 4
"""Rows at each level of a factor, before its effect is shown."""


def render() -> None:
    """Writes the page, its pictures and the figures of the scoreboard."""
    lines = [*NOTES.read_text(encoding="utf-8").splitlines(), ""]
    figures: dict[str, Any] = {}
    for name, study in STUDIES.items():
        lines += [
            f"## {study.title}",
            "",
            *status(name),
            "",
            *space(study),
            *screened(name, study),
            *finished(name, study),
        ]
        figures |= {name: found} if (found := scoreboard(name)) else {}
    lines += copies()
    records.write(records.RESULTS / "takes.json", figures)
    records.summarise()
    PAGE.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    sys.stderr.write(f"{PAGE} is rendered\n")


def status(name: str) -> list[str]:
    """What is recorded and what is not."""
    lines = ["| stage | runs recorded | CPU hours so far | CPU hours to go |", "|---|---|---|---|"]
    for stage, jobs_of in STAGES.items():
        jobs = jobs_of(name)
        if jobs:
            lines.append(f"| {stage} | {_progress(jobs)} |")
        elif stage != "recoded":
            lines.append(f"| {stage} | known when the stage before is recorded | – | – |")
    return lines


def _progress(jobs: list[Job]) -> str:
    found = [record for each in jobs if (record := each.record())]
    spent = sum(record["cpu_seconds"] for record in found) / 3600
    left = median(record["cpu_seconds"] for record in found) * (len(jobs) - len(found)) / 3600 if found else None
    return f"{len(found)} of {len(jobs)} | {spent:.1f} | {'–' if left is None else f'{left:.1f}'}"


def space(study: Study) -> list[str]:
    """The space searched."""
    lines = ["| factor | screened | tried in steps |", "|---|---|---|"]
    for factor in study.factors:
        more = ", ".join(level.title for level in factor.more) or "–"
        lines.append(f"| {factor.title} | {factor.low.title} / {factor.high.title} | {more} |")
    lines += [f"| {each.title} | {each.low.title} | {each.high.title} |" for each in study.unscreened]
    parts = ", ".join(study.part_titles[part] for part in study.parts)
    return [*lines, "", f"Screening and steps: {parts}, seed 0. Finals: all problems, {len(SEEDS)} seeds.", ""]


# ------------------------------------------------------------------------------------------------- screening


def screened(name: str, study: Study) -> list[str]:
    """Main effects, and every row of the screening; nothing without a row."""
    rows = list(partly(name, study.screening(), study.parts))
    if not rows:
        return ["No row of the screening has all three variants yet.", ""]
    return [*effects_shown(name, study, rows), *rows_shown(study, rows), *ends_shown(name, rows)]


def effects_shown(name: str, study: Study, rows: list[Row]) -> list[str]:
    """The effect of each factor on every variant and on the gap, as a table and a picture."""
    found = {factor: effect for factor in study.factors if (effect := effects(factor, rows, study.parts))}
    if not found:
        return [f"{len(rows)} rows are recorded; effects are shown from {FEWEST} at each level on.", ""]
    lines = [
        f"{study.metric} with the second level less that with the first, mean of {len(rows)} of "
        f"{len(study.screening())} rows. {SELECTED}",
        "",
        f"| factor: first → second | {' | '.join((*VARIANTS.values(), 'MemAE − AE'))} |",
        "|---" * 5 + "|",
    ]
    for factor, effect in found.items():
        title = f"{factor.title}: {factor.low.title} → {factor.high.title}"
        lines.append(f"| {title} | {' | '.join(f'{value:+.4f}' for value in effect)} |")
    plot(name, found)
    margin = ", ".join(f"{pseudo_error([effect[at] for effect in found.values()]):.4f}" for at in range(4))
    return [
        *lines,
        "",
        f"Lenth's pseudo standard error of a column: {margin}. An effect below twice of it is not told from chance.",
        "",
        f"![Main effects]({PICTURES.name}/effects_{name}.png)",
        "",
        f"*Main effects. {SELECTED}*",
        "",
    ]


def effects(factor: Factor, rows: Iterable[Row], parts: Iterable[int]) -> list[float] | None:
    """Means at the high level less those at the low one, by variant and of the gap; None with too few rows.

    Figures are taken relative to the mean of their problem, since not every row has every problem.
    """
    rows = list(rows)
    centres = {
        part: {variant: mean(each.parts[part][variant] for each in rows if part in each.parts) for variant in VARIANTS}
        for part in parts
        if any(part in each.parts for each in rows)
    }

    def at(level: Level) -> list[list[float]]:
        return [
            [mean(each.parts[part][variant] - centres[part][variant] for part in each.parts) for variant in VARIANTS]
            for each in rows
            if level.holds(each.setting)
        ]

    low, high = at(factor.low), at(factor.high)
    if min(len(low), len(high)) < FEWEST:
        return None
    found = np.mean(high, 0) - np.mean(low, 0)
    return [*map(float, found), float(found[-1] - found[0])]


def pseudo_error(effects_found: list[float]) -> float:
    """Lenth's pseudo standard error of the effects of an unreplicated design."""
    sizes = np.abs(effects_found)
    start = 1.5 * np.median(sizes)
    return float(1.5 * np.median(sizes[sizes <= 2.5 * start]))


def plot(name: str, found: dict[Factor, list[float]]) -> None:
    """A bar for each factor and variant."""
    figure = pictures.figure(8, 0.5 * len(found) + 1)
    axes, places = figure.subplots(), np.arange(len(found))
    for at, title in enumerate((*VARIANTS.values(), "MemAE − AE")):
        axes.barh(places + 0.2 * at - 0.3, [effect[at] for effect in found.values()], 0.18, label=title)
    axes.set_yticks(places, [f"{each.title}: {each.low.title} → {each.high.title}" for each in found], fontsize=7)
    axes.axvline(0, color="black", lw=0.6)
    axes.invert_yaxis()
    axes.legend(frameon=False, fontsize=7)
    pictures.save(figure, PICTURES / f"effects_{name}.png", 120)


def rows_shown(study: Study, rows: list[Row]) -> list[str]:
    """The rows with the highest MemAE, and how many reverse the gap."""
    reversed_in = sum(each.gap < 0 for each in rows)
    factors = " | ".join(factor.title for factor in study.factors)
    ordered = sorted(rows, key=lambda each: each.mean("memae"), reverse=True)
    return [
        f"MemAE is below AE in {reversed_in} of {len(rows)} rows. The rows by MemAE. {SELECTED}",
        "",
        f"| {factors} | problems | {' | '.join(VARIANTS.values())} | gap |",
        "|---" * (len(study.factors) + 5) + "|",
        *(_line(study, each) for each in ordered),
        "",
    ]


def _line(study: Study, found: Row) -> str:
    cells = [*_levels(study, found.setting), f"{len(found.parts)}"]
    cells += [f"{found.mean(variant):.4f}" for variant in VARIANTS]
    return f"| {' | '.join(cells)} | {found.gap:+.4f} |"


def _levels(study: Study, setting: Setting) -> list[str]:
    return [next(level.title for level in factor.levels if level.holds(setting)) for factor in study.factors]


def ends_shown(name: str, rows: list[Row]) -> list[str]:
    """What the end of training and the score make of the same runs."""
    found = [records_of(name, each.setting, part) for each in rows for part in each.parts]
    found = [each for each in found if not any("failed" in record for record in each.values())]
    if not found:
        return []
    lines = [
        f"The same {len(found)} trainings, ended and scored in other ways; means. {SELECTED}",
        "",
        f"| end, score | {' | '.join(VARIANTS.values())} | gap |",
        "|---" * 5 + "|",
    ]
    for end, title in ((LOWEST, "lowest held-out error"), (LAST, "last epoch")):
        for score in found[0]["ae"]["ends"][LOWEST]:
            values = [mean(figure_of(each[variant], end, score) for each in found) for variant in VARIANTS]
            lines.append(_mean_line(f"{title}, {score}", values))
    highest = [mean(max(point for point in each[variant]["curve"] if point) for each in found) for variant in VARIANTS]
    return [*lines, _mean_line("best epoch on the test, squared", highest), ""]


def _mean_line(title: str, values: list[float]) -> str:
    return f"| {title} | {' | '.join(f'{value:.4f}' for value in values)} | {values[-1] - values[0]:+.4f} |"


# ---------------------------------------------------------------------------------------------------- finals


def seeds_of(name: str, study: Study, setting: Setting) -> list[Row]:
    """The seeds of which all problems are recorded."""
    rows = [row(name, setting, study.all_parts, seed) for seed in SEEDS]
    return [each for each in rows if len(each.parts) == len(study.all_parts)]


def finished(name: str, study: Study) -> list[str]:
    """The best settings on all problems beside the paper's figures."""
    lines = []
    for each in best(name):
        rows = seeds_of(name, study, each.setting)
        if rows:
            values = [records.over([found.mean(variant) for found in rows]) for variant in VARIANTS]
            cells = [f"{value:.4f} ± {std:.4f}" for value, std, _ in values]
            lines.append(f"| {', '.join(_levels(study, each.setting))} | {len(rows)} | {' | '.join(cells)} |")
    printed = " | ".join(f"{study.published[variant]:.4f}" for variant in VARIANTS)
    head = [f"All problems. {SELECTED}", "", f"| setting | seeds | {' | '.join(VARIANTS.values())} |", "|---" * 5 + "|"]
    return [*head, f"| the paper, as printed | – | {printed} |", *lines, ""]


def scoreboard(name: str) -> dict[str, object]:
    """The setting with the highest MemAE on all problems, for the summary; empty before one is recorded."""
    study = STUDIES[name]
    settings = [each.setting for each in best(name) if seeds_of(name, study, each.setting)]
    if name == "kddcup" or not settings:
        return {}
    top = max(settings, key=lambda each: mean(found.mean("memae") for found in seeds_of(name, study, each)))
    rows = seeds_of(name, study, top)
    figures = {
        f"table1/{name}/disclosed/{variant}/auroc": records.figure(*records.over([each.mean(variant) for each in rows]))
        for variant in VARIANTS
    }
    origins = [
        record["provenance"]
        for seed in SEEDS
        for part in study.all_parts
        for record in records_of(name, top, part, seed).values()
    ]
    return {"provenance": records.together(origins, f"python -m reproduction takes --set {name}"), "figures": figures}


# ---------------------------------------------------------------------------------------------------- copies


def copies() -> list[str]:
    """What JPEG costs on MNIST: classes of which both forms are recorded."""
    lines = ["## What the JPEG copies cost", ""]
    lines.append(
        "The copies of CIFAR-10 at hand went through JPEG at quality 75. MNIST, through JPEG in the same way and as it "
        "is, with the setting of our Table 1, seed 0:"
    )
    lines += ["", "| digit | " + " | ".join(f"{title}: copies / as it is" for title in VARIANTS.values()) + " |"]
    lines.append("|---" * 4 + "|")
    count = 0
    for part in STUDIES["mnist"].all_parts:
        recorded = [[job(form, part, 0, variant, PLAIN).record() for form in RECODED] for variant in VARIANTS]
        if any(None in each for each in recorded):
            continue
        count += 1
        cells = [" / ".join(f"{figure_of(record):.4f}" for record in each if record) for each in recorded]
        lines.append(f"| {part} | {' | '.join(cells)} |")
    return [*lines, "", f"{count} of 10 digits are recorded."]
