"""Tables 2 and 4 and Figures 5 to 7 in docs/reproduce.md, and results/table2.json, from the recorded runs."""

import base64
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.metrics import roc_auc_score

from memae.frames import normality
from recording import pictures, records
from reproduction.table2.methods import (
    ABLATED,
    ABLATION,
    AE,
    DEGRADED,
    METHODS,
    OURS,
    PICTURED,
    ROWS,
    SIZES,
    TABLE,
    WITHOUT_MEMORY,
)
from reproduction.table2.systems import FRAMES
from reproduction.tables import AnyMethod, Run, best

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PICTURES = records.ROOT / "docs" / "reproduce"
NOTES = Path(__file__).with_name("notes.md")

TIMED = {"autoencoder": ("AE", 0.0266), "memae": ("MemAE", 0.0262)}
"""What is timed, and its seconds a frame of Ped2 in section 4.2 of the paper."""
VIDEOS = (1, 3)
"""Test videos of Figure 5, from 0."""

Runs = dict[AnyMethod, list[Run]]


def read(scale: str) -> Runs:
    """The recorded runs of each method."""
    found = {method: TABLE.runs(method, scale) for method in METHODS}
    return {method: each for method, each in found.items() if each}


def section() -> list[str]:
    """The lines of the page; writes pictures, and the figures of the scoreboard."""
    scales = {scale: runs for scale in TABLE.cells if (runs := read(scale))}
    if not scales:
        return []
    parts = {
        scale: {"provenance": origin(scale, runs), "figures": scoreboard(scale, runs)} for scale, runs in scales.items()
    }
    next(iter(parts.values()))["figures"] |= that_run(scales.values())
    records.write(records.RESULTS / "table2.json", parts)
    lines = ["## Tables 2 and 4: frames of UCSD Ped2"]
    for scale, runs in scales.items():
        lines += ["", f"### {TABLE.cells[scale]}", "", *table(runs), "", *other_scores(runs)]
        lines += [*flagged(runs), *another_day(runs), *within(runs), *ablation(runs), *plots(scale, runs)]
    lines += running_time()
    return [*lines, "", *NOTES.read_text(encoding="utf-8").splitlines()]


def origin(scale: str, runs: Runs) -> Run:
    """The joint provenance of the runs of a scale."""
    origins = [run["provenance"] for each in runs.values() for run in each]
    return records.together(origins, f"python -m reproduction table2 --scale {scale}")


def auroc(run: Run, protocol: str = "paper", score: str | None = None) -> float:
    """Frame AUROC of a run under a protocol and a score, by default its own."""
    return float(run["auroc"][run["score"] if score is None else score][protocol])


def _mean(runs: list[Run]) -> float:
    return float(np.mean([auroc(run) for run in runs]))


def scoreboard(scale: str, runs: Runs) -> dict[str, dict[str, float]]:
    """The figures that have a target."""
    named = best(runs, _mean)
    found = {
        f"{TABLE.name}/ped2_{scale}/{name}/auroc": records.figure(*records.over([auroc(run) for run in runs[method]]))
        for name, method in named.items()
    }
    if "memae" in named and AE in runs:
        pairs = list(zip(runs[named["memae"]], runs[AE], strict=False))
        worst = min(auroc(above) - auroc(below) for above, below in pairs)
        found[f"{TABLE.name}/ped2_{scale}/memae_minus_ae/auroc_worst_seed"] = records.figure(worst, 0.0, len(pairs))
    return found | of_ours(f"{TABLE.name}/ped2_{scale}", runs) | of_another_day(runs)


def that_run(scales: Iterable[Runs]) -> dict[str, dict[str, float]]:
    """How many rows of the paper's Table 2 have runs at any scale; several settings of a method are one row."""
    rows = {method.figure or method.key for runs in scales for method in runs if FRAMES in method.published}
    return {f"{TABLE.name}/systems_that_run": records.figure(float(len(rows)))}


def of_ours(prefix: str, runs: Runs) -> dict[str, dict[str, float]]:
    """The figures of ours that have a target, beside its AUROC."""
    ours, without = runs.get(OURS, []), runs.get(WITHOUT_MEMORY, [])
    if not ours:
        return {}
    values = {
        "auroc_as_it_comes": [auroc(run, "none") for run in ours],
        "auroc_macro": [auroc(run, "macro") for run in ours],
        "pixel_criterion_auroc": [run["pixel_criterion"] for run in ours],
        "fit_cpu_minutes": [run["fit_cpu_seconds"] / 60 for run in ours],
    }
    found = {f"{prefix}/ours/{name}": records.figure(*records.over(each)) for name, each in values.items()}
    worst = max(run["flagged"]["normal"] for run in ours)
    found[f"{prefix}/ours/normal_flagged_worst_seed"] = records.figure(worst, 0.0, len(ours))
    if without:
        gaps = [auroc(one, "none") - auroc(other, "none") for one, other in zip(ours, without, strict=False)]
        name = f"{prefix}/ours_minus_without_memory/auroc_worst_seed"
        found[name] = records.figure(min(gaps), 0.0, len(gaps))
    return found


def of_another_day(runs: Runs) -> dict[str, dict[str, float]]:
    """The highest loss of AUROC, as it comes, by a change of the films."""
    losses = [_loss(run["degraded"]) for run in runs.get(DEGRADED, [])]
    name = f"{TABLE.name}/ped2_degraded/ours/auroc_loss_worst"
    return {name: records.figure(max(losses), 0.0, len(losses))} if losses else {}


def _loss(degraded: Run) -> float:
    whole = next(iter(degraded.values()))["auroc"]
    return max(float(whole - each["auroc"]) for each in degraded.values())


def table(runs: Runs) -> list[str]:
    """Every method beside the paper's figure, under every protocol."""
    lines = [
        "| method | paper | frame AUROC here, protocol `paper` | `authors` | macro | not normalised | pixel level "
        "| AUROC of pixels | best epoch on the test † | minutes |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [line for method in ROWS if (line := _line(method, runs.get(method)))]
    return [
        *lines,
        "",
        "Frame AUROC is micro, over all frames together. `paper` scales each video by Eq. 11 and counts all 2010 "
        "frames, `authors` only the 1830 on which a clip of 16 is centred; *not normalised* takes the errors "
        "unscaled. Pixel level is the criterion of Mahadevan et al. (40 % of the abnormal pixels), on unscaled errors. "
        "± is the standard deviation over the seeds. † on every eighth clip, chosen with the test's labels, so not a "
        "result. Minutes are those of one core, for the longest run. Quoted figures are those of the paper's Table 2.",
    ]


def _line(method: AnyMethod, runs: list[Run] | None) -> str:
    """The row of a method; empty for one without runs that the paper does not have."""
    printed = method.published.get(FRAMES)
    if runs is None:
        return "" if printed is None else f"| {method.title} (not run yet) | {printed:.3f} |{' – |' * 8}"
    curves = [[value for value in run["curve"] if value is not None] for run in runs if "curve" in run]
    cells = [
        method.title,
        "–" if printed is None else f"{printed:.3f}",
        _over([auroc(run) for run in runs]),
        *(f"{np.mean([auroc(run, name) for run in runs]):.4f}" for name in ("authors", "macro", "none")),
        *(f"{np.mean([run[name] for run in runs]):.4f}" for name in ("pixel_criterion", "pixel_auroc")),
        f"{np.mean([max(curve) for curve in curves]):.4f}" if curves and all(curves) else "–",
        f"{max(run['cpu_seconds'] for run in runs) / 60:.0f}",  # a run that was resumed has those of its rest
    ]
    return f"| {' | '.join(cells)} |"


def _over(values: list[float]) -> str:
    mean, std, n = records.over(values)
    return f"{mean:.4f} ± {std:.4f} ({n} seeds)" if n > 1 else f"{mean:.4f} (1 seed)"


def other_scores(runs: Runs) -> list[str]:
    """The same runs under other scores."""
    lines = ["The same models under other scores, protocol `paper`:", ""]
    for method in ROWS:
        names = (
            [name for name in runs[method][0]["auroc"] if name != runs[method][0]["score"]] if method in runs else []
        )
        if names:
            each = (f"{name} {np.mean([auroc(run, score=name) for run in runs[method]]):.4f}" for name in names)
            lines.append(f"- {method.title}: {', '.join(each)}")
    lines += [
        "",
        "*absolute* is the mean absolute error of the clip (the authors' score), *frame* the error of the one frame "
        "within its clip, *peak* the highest mean of that error over a window of an eighth of a side.",
    ]
    return lines if len(lines) > 4 else []


def flagged(runs: Runs) -> list[str]:
    """Share of the frames above the threshold, for detectors that have one and whose record has the share."""
    rows = []
    for method in ROWS:
        shares = [run["flagged"] for run in runs.get(method, []) if "flagged" in run]
        normal, abnormal = (", ".join(f"{each[kind]:.2f}" for each in shares) for kind in ("normal", "abnormal"))
        rows += [f"| {method.title} | {normal} | {abnormal} |"] if shares else []
    head = "Share of the test frames above the threshold that held-out normal frames set, for each seed:"
    return ["", head, "", "| | normal frames | abnormal frames |", "|---|---|---|", *rows] if rows else []


def another_day(runs: Runs) -> list[str]:
    """AUROC and false alarms on changed copies of the test films."""
    rows = [
        f"| {name} | {each['auroc']:.4f} | {each['normal_flagged']:.2f} |"
        for run in runs.get(DEGRADED, [])
        for name, each in run["degraded"].items()
    ]
    head = (
        f"{OURS.name}, learned from the films as they are, on changed copies of the test films (scores not normalised):"
    )
    return ["", head, "", "| | frame AUROC | normal frames flagged |", "|---|---|---|", *rows] if rows else []


def within(runs: Runs) -> list[str]:
    """AUROC within each video, for the methods of Figure 5."""
    shown = {method.name: runs[method] for method in PICTURED if method in runs}
    if not shown:
        return []
    count = len(next(iter(shown.values()))[0]["errors"])
    lines = [
        "",
        "AUROC within each test video, mean over the seeds; – if all frames are abnormal:",
        "",
        f"| | {' | '.join(map(str, range(1, count + 1)))} |",
        f"|---|{'---|' * count}",
    ]
    for title, each in shown.items():
        cells = (f"{value:.2f}" if (value := _within(each, video)) is not None else "–" for video in range(count))
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return lines


def _within(each: list[Run], video: int) -> float | None:
    """Mean AUROC of one video over runs; None where all of its frames are abnormal."""
    scores = [_errors(run, video) for run in each]
    labels = np.zeros(len(scores[0]), bool)
    for start, stop in _abnormal(each[0], video):
        labels[start : stop + 1] = True
    return None if labels.all() else float(np.mean([roc_auc_score(labels, one) for one in scores]))


def _abnormal(run: Run, video: int) -> list[tuple[int, int]]:
    """First and last frame of each abnormal stretch, as `runs.figures` has written them."""
    return [
        (int(start), int(stop)) for start, _, stop in (each.partition("-") for each in run["abnormal"][video].split())
    ]


def ablation(runs: Runs) -> list[str]:
    """Table 4."""
    rows = [
        f"| {method.name} | {method.published[ABLATION]:.4f} | {_over([auroc(run) for run in runs[method]])} |"
        for method in ABLATED
        if method in runs
    ]
    return ["", "**Table 4**", "", "| | paper | here |", "|---|---|---|", *rows] if rows else []


def running_time() -> list[str]:
    """Seconds a frame, of the paper's network at the paper's size, as `python -m measurements speed` measured them."""
    found = records.read(records.RESULTS / "speed.json") or {}
    case = found.get("overhead", {}).get("cases", {}).get("video_256 inference")
    if case is None:
        return []
    paper = {name: printed for name, (_, printed) in TIMED.items()}
    here = {name: case[name]["minimum_ms"] / 1000 for name in TIMED}
    rows = [f"| {title} | {printed:.4f} | {here[name]:.3f} |" for name, (title, printed) in TIMED.items()]
    return [
        "",
        "### Running time",
        "",
        "| seconds a frame | paper, GTX 1080 Ti | here, one core, float32 |",
        "|---|---|---|",
        *rows,
        f"| MemAE over AE | {paper['memae'] / paper['autoencoder']:.3f} | {here['memae'] / here['autoencoder']:.3f} |",
        "",
        "A frame costs one clip of 16 × 256 × 256. Least time of repeated passes, measured by `python -m measurements "
        "speed --only overhead` ([speed.md](speed.md#what-the-memory-adds)).",
    ]


# ----------------------------------------------------------------------------------------------------------- pictures


def plots(scale: str, runs: Runs) -> list[str]:
    """Figures 5, 6 and 7 of a scale, as far as their runs are recorded."""
    shown = {method: runs[method][0] for method in PICTURED if method in runs}
    lines = []
    if len(shown) > 1:
        pictures.save(_plot_scores(shown), PICTURES / f"figure5_{scale}.png", 110)
        pictures.save(_plot_maps(shown), PICTURES / f"figure6_{scale}.png", 110)
        lines += [
            "",
            f"![Normality along two test videos]({PICTURES.name}/figure5_{scale}.png)",
            "",
            "*Figure 5: normality (Eq. 11) along test videos "
            f"{' and '.join(str(video + 1) for video in VIDEOS)}; shaded: labelled abnormal.*",
            "",
            f"![Error maps of an abnormal frame]({PICTURES.name}/figure6_{scale}.png)",
            "",
            "*Figure 6: an abnormal frame and the error map of each model; brightest is the highest value of a map.*",
        ]
    sizes = {items: runs[method] for items, method in SIZES.items() if method in runs}
    if len(sizes) > 2:
        pictures.save(_plot_sizes(sizes), PICTURES / f"figure7_{scale}.png", 110)
        lines += [
            "",
            f"![AUROC against the number of items]({PICTURES.name}/figure7_{scale}.png)",
            "",
            "*Figure 7: frame AUROC of MemAE, as the authors' code, against the number of items.*",
        ]
    return lines


def _errors(run: Run, video: int) -> NDArray[np.float64]:
    return np.array(run["errors"][video].split(), float)


def _plot_scores(shown: dict[AnyMethod, Run]) -> "Figure":
    figure = pictures.figure(9, 4)
    for axes, video in zip(figure.subplots(len(VIDEOS), 1), VIDEOS, strict=True):
        for method, run in shown.items():
            axes.plot(normality(_errors(run, video)), label=method.name, linewidth=1)
        for start, stop in _abnormal(next(iter(shown.values())), video):
            axes.axvspan(start, stop, color="tab:red", alpha=0.12, linewidth=0)
        axes.set(ylabel=f"test video {video + 1}", ylim=(-0.05, 1.05), xmargin=0)
    figure.axes[-1].set_xlabel("frame")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
    return figure


def _plot_maps(shown: dict[AnyMethod, Run]) -> "Figure":
    figure = pictures.figure(9, 2.6)
    all_axes = figure.subplots(1, len(shown) + 1)
    first = next(iter(shown.values()))
    all_axes[0].imshow(_picture(first["frame"]), cmap="gray", aspect="auto")
    all_axes[0].set_title("frame", fontsize=9)
    for axes, (method, run) in zip(all_axes[1:], shown.items(), strict=True):
        axes.imshow(_picture(run["map"]), cmap="inferno", aspect="auto")
        axes.set_title(method.name, fontsize=9)
    for axes in all_axes:
        axes.set_axis_off()
    return figure


def _picture(text: str) -> NDArray[np.uint8]:
    return np.asarray(Image.open(BytesIO(base64.b64decode(text))))


def _plot_sizes(sizes: dict[int, list[Run]]) -> "Figure":
    figure = pictures.figure(5, 3)
    axes = figure.subplots()
    items = sorted(sizes)
    axes.plot(items, [np.mean([auroc(run) for run in sizes[each]]) for each in items], marker="o")
    axes.set(
        xscale="log", xlabel="items of the memory", ylabel="frame AUROC", xticks=items, xticklabels=map(str, items)
    )
    axes.minorticks_off()
    return figure
