"""The part of docs/quality.md on images, and results/images.json, from the recorded runs."""

from collections.abc import Callable, Iterable, Sequence
from statistics import mean
from typing import Any

from recording import records
from reproduction.images import text
from reproduction.images.jobs import FOLDER, recorded
from reproduction.images.methods import ABLATION, FROM_FEW, METHODS, OTHERS, OURS, Method
from reproduction.images.sets import CLASSES, FEWER, GROUPS, TITLES

Run = dict[str, Any]
Rows = dict[Method, list[list[Run]]]
"""The runs of each method, by seed and class; a set in folders has one class."""

PAGE = records.ROOT / "docs" / "quality.md"
COMMAND = "python -m reproduction images"
BEGIN, END = f"<!-- images: rendered by {COMMAND} -->", "<!-- end of images -->"


def render() -> None:
    """Writes the part of the page, and the figures for the summary; nothing as long as no run is recorded."""
    found = rows()
    if not found:
        return
    parts = {name: _part(each, scoreboard(name, each)) for name, each in found.items()}
    records.write(records.RESULTS / "images.json", parts)
    records.summarise()
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2].strip("\n")
    lines = [before.rstrip("\n"), "", *section(), *(["", after] if after else [])]
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")


def rows() -> dict[str, Rows]:
    """The recorded runs of each set, those in folders first."""
    place = records.RESULTS / "runs" / FOLDER
    names = sorted(each.name for each in place.iterdir()) if place.exists() else []
    found = {name: {m: runs for m in METHODS if (runs := recorded(m, name))} for name in names}
    return {name: found[name] for name in sorted(names, key=lambda name: name in CLASSES) if found[name]}


def _part(found: Rows, figures: dict[str, dict[str, float]]) -> dict[str, Any]:
    origins = [run["provenance"] for runs in found.values() for each in runs for run in each]
    return {"provenance": records.together(origins, COMMAND), "figures": figures}


# ------------------------------------------------------------------------------------------------------- figures


Figure = Callable[[Run], float]


def of(*keys: str) -> Figure:
    """The figure of a run with this key, or these keys of objects in objects."""

    def figure(run: Run) -> float:
        found: Any = run
        for key in keys:
            found = found[key]
        return float(found)

    return figure


def over_seeds(runs: list[list[Run]], figure: Figure) -> tuple[float, float, int]:
    """Mean over the classes, and its mean, deviation and number over the seeds."""
    return records.over([mean(figure(run) for run in each) for each in runs])


def fastest(run: Run) -> float:
    """Milliseconds a photo with the best engine."""
    return float(min(run["score_ms"].values()))


def scoreboard(name: str, found: Rows) -> dict[str, dict[str, float]]:
    """Each method's figures, by the keys of the scoreboard."""
    figures = {"auroc": of("auroc"), "fit_seconds": of("fit_cpu_seconds"), "score_ms": fastest}
    located = {key: of(key) for key in ("pixel_auroc", "pro")}
    located |= {f"pixel_auroc_of_{group}": of("pixel_auroc_of", group) for group in GROUPS.get(name, {})}
    summary = {}
    for method, runs in found.items():
        for key, figure in (figures | (located if "pro" in runs[0][0] else {})).items():
            summary[f"{FOLDER}/{name}/{method.key}/{key}"] = records.figure(*over_seeds(runs, figure))
    for method in FROM_FEW:
        if method in found:
            key = f"{FOLDER}/{name}/{OURS.key}/auroc_of_{method.photos}"
            summary[key] = records.figure(*over_seeds(found[method], of("auroc")))
    return summary


# ---------------------------------------------------------------------------------------------------------- page


def section() -> list[str]:
    """The lines between the two marks; none if no run is recorded."""
    found = rows()
    if not found:
        return []
    lines = [BEGIN, *text.INTRODUCTION]
    for name, each in found.items():
        lines += classes(name, each) if name in CLASSES else folder(name, each)
    return [*lines, "", END]


def folder(name: str, found: Rows) -> list[str]:
    """The lines on a set in the layout of MVTec AD."""
    photos = [runs[0][0]["photos"] for runs in found.values()]
    training, test = max(each["training"] for each in photos), photos[0]["test"]
    title = name.replace("_", " ")
    told = f"{training} good photos to learn from, {test} in the test.{text.ABOUT.get(name, '')}"
    lines = ["", f"### {title[0].upper()}{title[1:]}", "", told]
    for heading, methods in (
        ("Ours and others over the same features", (OURS, *OTHERS)),
        ("What it is without its parts", ABLATION),
        ("From few good photos", FROM_FEW),
    ):
        some = {method: found[method] for method in methods if method in found}
        lines += ["", f"**{heading}**", "", *table(some)] if some else []
    shown = {method: found[method] for method in (OURS, *OTHERS) if method in found}
    for figure, heading in (("auroc_by_kind", "AUROC"), ("pixel_auroc_of", "pixel AUROC")):
        lines += ["", *own] if (own := kinds(shown, figure, heading)) else []
    return lines


def table(found: Rows) -> list[str]:
    """Quality and cost of methods on a set in folders."""
    header = (
        "method", "seeds", "AUROC", "pixel AUROC", "PRO", "seconds to fit", "ms a photo: torch", "best engine",
        "MiB to fit", "to score", "MB to store",
    )  # fmt: skip
    lines = []
    for method, runs in found.items():
        run = runs[0][0]
        told = "pro" in run
        cells = [
            method.title,
            f"{len(runs)}",
            _spread(runs, of("auroc")),
            _spread(runs, of("pixel_auroc")) if told else "–",
            _spread(runs, of("pro")) if told else "–",
            f"{over_seeds(runs, of('fit_cpu_seconds'))[0]:.1f}",
            f"{over_seeds(runs, of('score_ms', 'torch'))[0]:.1f}",
            _best(runs) if len(run["score_ms"]) > 1 else "–",
            f"{over_seeds(runs, of('fit_peak_mib'))[0]:.0f}",
            f"{over_seeds(runs, of('score_peak_mib'))[0]:.0f}",
            f"{over_seeds(runs, of('file_bytes'))[0] / 1e6:.1f}",
        ]
        lines.append(cells)
    return table_of(header, lines)


def _spread(runs: list[list[Run]], figure: Figure) -> str:
    value, std, n = over_seeds(runs, figure)
    return f"{value:.4f} ± {std:.4f}" if n > 1 else f"{value:.4f}"


def _best(runs: list[list[Run]]) -> str:
    times = runs[0][0]["score_ms"]
    return f"{over_seeds(runs, fastest)[0]:.1f} ({min(times, key=times.__getitem__)})"


def kinds(found: Rows, figure: str, title: str) -> list[str]:
    """A figure by kind of defect, mean of the seeds."""
    told = {method: runs for method, runs in found.items() if runs[0][0].get(figure)}
    if not told:
        return []
    names = list(next(iter(told.values()))[0][0][figure])
    lines = [
        [method.title, *(f"{over_seeds(runs, of(figure, kind))[0]:.3f}" for kind in names)]
        for method, runs in told.items()
    ]
    return table_of((f"{title} by kind", *(name.replace("_", " ") for name in names)), lines)


def classes(name: str, found: Rows) -> list[str]:
    """The lines on a set whose classes are normal in turn."""
    dataset, most = CLASSES[name]
    counts = next(iter(found.values()))[0][0]["photos"]
    training = f"{FEWER:,}" if most else f"{counts['training']:,}"
    lines = [
        [
            method.title,
            f"{len(runs)}",
            _spread(runs, of("auroc")),
            f"{over_seeds(runs, of('fit_cpu_seconds'))[0]:.1f}",
            f"{over_seeds(runs, fastest)[0]:.2f}",
        ]
        for method, runs in found.items()
    ]
    return [
        "",
        f"### {TITLES[dataset]}: each class in turn normal, {training} training images",
        "",
        *table_of(("method", "seeds", "AUROC, mean of 10 classes", "seconds to fit a class", "ms an image"), lines),
    ]


def table_of(header: Sequence[str], lines: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table in Markdown."""
    return [f"| {' | '.join(header)} |", "|---" * len(header) + "|", *(f"| {' | '.join(line)} |" for line in lines)]
