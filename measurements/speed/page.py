"""Renders docs/speed.md and its plots from the record."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recording import pictures, records

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE = records.ROOT / "docs" / "speed.md"
PICTURES = PAGE.parent / "speed"
NOTES = Path(__file__).with_name("notes.md")

TARGETS: dict[str, tuple[str, str, float]] = {
    "address_forward/share_of_bound/compiled": (
        "addressing, share of the bound, compiled",
        "≥",
        0.85,
    ),
    "address_forward/share_of_bound/eager": ("the same, eager", "≥", 0.68),
    "address_training/share_of_bound/compiled": ("addressing forward and backward, compiled", "≥", 0.60),
    "address_training/share_of_bound/eager": ("the same, eager", "≥", 0.53),
    "address_training/peak_memory_vs_literal": ("its peak memory over that of the literal form", "≤", 0.0834),
    "memae_over_ae/video_256/inference": ("MemAE over autoencoder, video 16 × 256 × 256, scoring", "≤", 1.02),
    "memae_over_ae/video_256/training": ("the same, a step of training", "≤", 1.03),
    "memae_over_ae/kddcup/inference": ("MemAE over autoencoder, KDDCUP, batch 1024, scoring", "≤", 1.25),
    "memae_over_ae/kddcup/training": ("the same, a step of training", "≤", 1.30),
    "kddcup_rows/fit_vs_pyod_autoencoder": ("KDDCUP rows a second, fit, over PyOD's AutoEncoder", "≥", 3),
    "kddcup_rows/score_vs_pyod_autoencoder": ("the same, score", "≥", 6),
    "kddcup_rows/score_vs_pyod_iforest": ("score, over PyOD's IForest", "≥", 4),
    "kddcup_rows/score_vs_pyod_ecod": ("score, over PyOD's ECOD", "≥", 100),
    "rows/score_vs_pyod_knn": ("rows × 20 scored a second, 10,000 kept, over PyOD's KNN", "≥", 2),
    "kept_memory/share_of_bound": ("nearest 5 of 10,000 × 200, share of the matrix product", "≥", 0.6),
    "kept_memory/vs_faiss_flat": ("the same, time of faiss' flat index over ours", "≥", 1),
    "mnist_scored/best_engine_vs_eager": ("MNIST, batch 256, best engine over eager torch", "≥", 3.5),
    "video_256_scored/best_f32_engine_vs_eager": ("video 16 × 256 × 256, best f32 engine over torch", "≥", 2),
    "video_file/share_of_model_rate": ("scoring a video file, share of the model's own rate", "≥", 0.9),
    "watch/frames_per_second": ("`memae watch`, a file of 240 × 360, frames a second, one core", "≥", 25),
    "watch/delay_seconds": ("the same played as if live, seconds from a frame to its score", "≤", 1),
    "parquet_16m/peak_rss_gib": ("peak memory, Parquet of 16 million rows × 120, GiB", "≤", 1.5),
    "score_200k/peak_mb": ("peak memory of `memae score`, 200,000 rows × 20, MB", "≤", 600),
    "parquet/time_exponent": ("exponent of the time over the rows, 1 to 16 million", "≤", 1.05),
    "help_seconds": ("`memae --help`, seconds", "≤", 0.4),
}
"""What is measured → its name on the page and its target."""


STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
}


def render() -> None:
    """Writes the page."""
    import matplotlib as mpl  # noqa: PLC0415 (of the extra bench)

    found = records.read(records.RESULTS / "speed.json")
    sections = (
        addressing,
        overhead,
        peers,
        rows,
        kept_memory,
        engines,
        streaming,
        score_memory,
        photo_memory,
        watch,
        together,
        curves,
    )
    lines = [*_head(found), *_targets()]
    with mpl.rc_context(STYLE):
        for section in sections:
            if section.__name__ in found:
                lines += ["", *section(found[section.__name__])]
    lines += ["", *NOTES.read_text(encoding="utf-8").splitlines()]
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _head(found: dict[str, Any]) -> list[str]:
    origins = [record["provenance"] for record in found.values()]
    machines = {f"{each['machine']['processor']}, {each['machine']['cores']} cores" for each in origins}
    versions = {name: number for each in origins for name, number in each["versions"].items()}
    days = sorted(each["date"][:10] for each in origins)
    commits = ", ".join(sorted({each["commit"] for each in origins}))
    return [
        "# Speed",
        "",
        "Written by `python -m measurements speed` from [the record](../benchmarks/results/speed.json). All variants",
        "of a comparison take turns in one process on one core. A figure is the ratio of their least CPU times, ± the",
        "standard deviation of the ratio over the rounds. The machine is shared with other work: absolute times",
        "mean little, and ratios vary by a tenth from run to run.",
        "",
        f"{'; '.join(sorted(machines))}; {', '.join(f'{name} {number}' for name, number in sorted(versions.items()))};",
        f"{days[0]} to {days[-1]}, commits {commits}.",
    ]


def _targets() -> list[str]:
    summary = records.read(records.RESULTS / "summary.json")
    lines = ["", "| what | measured | target | |", "|---|---:|---:|---|"]
    for key, (what, sign, target) in TARGETS.items():
        result = summary.get(f"speed/{key}")
        if result is None:
            lines.append(f"| {what} | – | {sign} {target:g} | not measured |")
            continue
        value = result["value"]
        held = value >= target if sign == "≥" else value <= target
        spread = f" ± {result['std']:.2g}" if result["std"] else ""
        lines.append(f"| {what} | {value:.3g}{spread} | {sign} {target:g} | {'held' if held else '**missed**'} |")
    return lines


def addressing(record: dict[str, Any]) -> list[str]:
    """Shares of the bound of each form and size."""
    forms = ("literal", "authors", "eager", "compiled")
    lines = [
        "## Addressing the memory",
        "",
        "Share of the bound: the time of the matrix products alone over the time of each form. `literal` writes Eq. 4",
        "to 7 and 9 as printed, `authors` is their module as the paper describes it. B queries, N items, C channels.",
        "",
        "| | " + " | ".join(forms) + " |",
        "|---|" + "---:|" * len(forms),
    ]
    for way in ("forward", "training"):
        for name, case in record["cases"].items():
            shares = " | ".join(f"{case[way][form]['share_of_bound']:.2f}" for form in forms)
            lines.append(f"| {name}, {way} | {shares} |")
    figure = pictures.figure(7, 2.6)
    for axes, way in zip(figure.subplots(1, 2, sharey=True), ("forward", "training"), strict=True):
        case = record["cases"]["video, batch 8"][way]
        axes.bar(forms, [case[form]["share_of_bound"] for form in forms], color=["#999", "#bbb", "#3b7dd8", "#1b4f9c"])
        axes.set_title(f"{way}: B 2048, N 2000, C 256")
        axes.set_ylim(0, 1)
    return [*lines, "", _saved(figure, "addressing", "Share of the matrix-product bound of each form")]


def overhead(record: dict[str, Any]) -> list[str]:
    """MemAE beside the autoencoder."""
    lines = ["## What the memory adds", "", "| | autoencoder ms | MemAE ms | ratio |", "|---|---:|---:|---:|"]
    for name, case in record["cases"].items():
        plain, ours = (case[form]["minimum_ms"] for form in ("autoencoder", "memae"))
        lines.append(f"| {name} | {plain:.2f} | {ours:.2f} | {ours / plain:.3f} |")
    return lines


def peers(record: dict[str, Any]) -> list[str]:
    """Rows a second."""
    rows = record["rows"]
    lines = [
        "## Beside PyOD, on KDDCUP99",
        "",
        f"Rows a second: {rows['fitted']:,} rows × {rows['epochs']} epochs to fit, {rows['scored']:,} to score, "
        f"{rows['features']} columns;",
        "memae has the paper's setting: the defaults of `TabularMemAE()` do more, and take longer. The autoencoder has "
        f"the same widths, batch, learning rate and epochs. {record['note']}.",
        "",
        "| | fit | score |",
        "|---|---:|---:|",
    ]
    fitted, scored = record["fit_rows_a_second"], record["score_rows_a_second"]
    for name, rate in scored.items():
        lines.append(f"| {name} | {fitted[name]:,} | {rate:,} |" if name in fitted else f"| {name} | – | {rate:,} |")
    return lines


def rows(record: dict[str, Any]) -> list[str]:
    """Seconds of the default detector and of KNN."""
    size, times = record["rows"], record["times"]
    lines = [
        "## The default detector beside PyOD's KNN",
        "",
        f"CPU seconds, {size['columns']} columns, both with their defaults: {record['recipe']}.",
        "",
        "| | memae | KNN |",
        "|---|---:|---:|",
    ]
    about = {
        "fit": f"fit {size['fitted']:,} rows",
        "larger fit": f"fit {size['larger']:,} rows",
        "score": f"score {size['scored']:,} rows, fitted on {size['fitted']:,}",
    }
    for name, what in about.items():
        seconds = (times[name][each]["minimum_ms"] / 1000 for each in ("memae", "knn"))
        lines.append(f"| {what} | {' | '.join(f'{each:.2f}' for each in seconds)} |")
    return lines


def kept_memory(record: dict[str, Any]) -> list[str]:
    """Milliseconds of each search."""
    size = record["size"]
    lines = [
        "## The nearest kept samples",
        "",
        f"The nearest {size['nearest']} of {size['samples']:,} × {size['features']} samples for {size['queries']:,} "
        f"queries, exactly, float32; `product` is the matrix product alone. {record['note']}".rstrip(),
        "",
        "| | ms |",
        "|---|---:|",
    ]
    return lines + [f"| {name} | {timing['minimum_ms']:.0f} |" for name, timing in record["times"].items()]


def score_memory(record: dict[str, Any]) -> list[str]:
    """Peaks of `memae score`."""
    size = record["rows"]
    lines = [
        "## Memory of a score",
        "",
        f"Peak resident memory of `memae score`, {size['scored']:,} rows × {size['columns']} columns, the Parquet file "
        f"in one row group, a model with up to {size['fitted']:,} kept rows. A single row",
        "shows what the libraries take.",
        "",
        "| | MB |",
        "|---|---:|",
    ]
    return lines + [f"| {name} | {megabytes} |" for name, megabytes in record["peak_mb"].items()]


def engines(record: dict[str, Any]) -> list[str]:
    """Times faster than eager torch."""
    forms = ("torch, channels last", "onnxruntime", "openvino")
    lines = [
        "## Engines",
        "",
        "Speed relative to torch in its default layout, from raw samples to scores. `--engine torch` is channels-last.",
        "",
        "| | eager ms | " + " | ".join(forms) + " |",
        "|---|---:|" + "---:|" * len(forms),
    ]
    for name, case in record["cases"].items():
        cells = " | ".join(f"{case[form]['times_faster']:.2f}" if form in case else "–" for form in forms)
        lines.append(f"| {name} | {case['torch']['minimum_ms']:.1f} | {cells} |")
    return lines


def streaming(record: dict[str, Any]) -> list[str]:
    """Memory and time by rows."""
    lines = [
        "## Tables larger than memory",
        "",
        "Parquet with 120 columns of float32, one epoch; CPU seconds and peak resident memory of the command.",
        "",
        "| rows | fit s | fit GiB | score s | score GiB |",
        "|---:|---:|---:|---:|---:|",
    ]
    return lines + _by_size(record["cases"], "rows")


def photo_memory(record: dict[str, Any]) -> list[str]:
    """Memory and time by photos."""
    lines = [
        "## Large photos",
        "",
        f"`memae fit images` without an option, and `memae score` of {record['scored']} photos: JPEG, "
        f"{record['size'][0]} × {record['size'][1]} pixels, colour; CPU seconds on one core and peak resident memory.",
        "",
        "| photos | fit s | fit GiB | score s | score GiB |",
        "|---:|---:|---:|---:|---:|",
    ]
    return lines + _by_size(record["cases"], "photos")


def _by_size(cases: Sequence[dict[str, Any]], size: str) -> list[str]:
    """Rows of a table: seconds and peaks of fit and score, by the number of rows or photos."""
    lines = []
    for count in sorted({case[size] for case in cases}):
        own = {case["command"]: case for case in cases if case[size] == count}
        cells = (f"{own[each]['seconds']:.0f} | {own[each]['peak_gib']:.2f}" for each in ("fit", "score"))
        lines.append(f"| {count:,} | {' | '.join(cells)} |")
    return lines


def watch(record: dict[str, Any]) -> list[str]:
    """Rate, delay and memory of `memae watch`."""
    figures, cases = record["figures"], record["cases"]
    delay, memory = cases["delay_seconds"], cases["memory"]
    held = ", ".join(f"{each:.0f}" for each in memory["mib_at_start_and_each_quarter"])
    return [
        "## Watching",
        "",
        "`memae watch` with the default detector on one core; the test videos of UCSD Ped2 as one H.264 file.",
        "",
        "| | |",
        "|---|---:|",
        f"| frames a second, torch | {figures['speed/watch/frames_per_second']['value']:.1f} |",
        f"| the same, OpenVINO | {figures['speed/watch/frames_per_second/openvino']['value']:.1f} |",
        f"| as if live, every clip of {cases['score_step']} scored: frames skipped | {delay['skipped']} |",
        f"| from reading a frame to its score, median, s | {figures['speed/watch/delay_seconds']['value']:.2f} |",
        f"| the longest, s | {delay['longest']:.2f} |",
        f"| MiB held after 500 frames and each quarter of {memory['frames']:,} | {held} |",
    ]


def together(record: dict[str, Any]) -> list[str]:
    """Processes against threads."""
    lines = [
        "## Trainings side by side",
        "",
        "Training samples a second, wall time: the reason why measurements run one training on each core.",
        "",
        "| | batch | one process, two threads | two processes, a thread each | ratio |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, case in record["cases"].items():
        ratio = record["figures"][f"speed/together/{name}/two_processes_vs_two_threads"]["value"]
        threads, processes = (
            statistics.median(rates[way] for rates in case["samples_a_second"])
            for way in ("two_threads", "two_processes")
        )
        lines.append(f"| {name} | {case['batch']} | {threads:,.0f} | {processes:,.0f} | {ratio:.2f} |")
    return lines


def curves(record: dict[str, Any]) -> list[str]:
    """The three curves."""
    about = {
        "items": "addressing: µs a query over the items N",
        "batch": "a table's row: µs over the rows at once",
        "side": "a clip of 16 frames: µs over its side",
    }
    figure = pictures.figure(8, 2.8)
    for axes, (name, title) in zip(figure.subplots(1, 3), about.items(), strict=True):
        axes.loglog(*zip(*record["curves"][name], strict=True), marker="o", markersize=3, color="#1b4f9c")
        axes.set_title(title, fontsize=8)
        if name == "side":  # not a decade of them
            axes.set_xticks([x for x, _ in record["curves"][name]])
            axes.set_xticks([], minor=True)
            axes.xaxis.set_major_formatter("{x:.0f}")
    return ["## How the cost grows", "", _saved(figure, "curves", "; ".join(about.values()))]


def _saved(figure: "Figure", name: str, about: str) -> str:
    path = PICTURES / f"{name}.png"
    pictures.save(figure, path, 110)
    return f"![{about}]({Path('speed') / path.name})"
