"""Figures 3 to 7, one command each; here 3 and 4: what single items decode to, what AE and MemAE make of an anomaly.

Figures 5, 6 and 7 are of runs of Table 2, and drawn with it.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks import jobs as running
from benchmarks import records, table2
from benchmarks.jobs import Job, run

PICTURES = records.ROOT / "docs" / "reproduce"
MODELS = {
    "ae": "AE",
    "memae_paper": "MemAE, as printed",
    "memae_authors": "MemAE, as the authors' code",
    "ours": "`ImageMemAE()`",
}
SHOWN = {5: 9, 2: 4}
"""Figure 4: trained on the one digit, an anomaly is the other."""
ITEMS = 9
"""Figure 3: trained on this digit."""
COUNT = 8
"""Pictures a row."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `python -m benchmarks figures`."""
    parser.add_argument("--only", nargs="+", type=int, choices=JOBS, default=[3, 4], metavar="N", help="3 to 7")
    running.add_arguments(parser, "docs/reproduce.md")
    parser.set_defaults(run=main)


def main(arguments: argparse.Namespace) -> None:
    """Trains what is not recorded yet, and renders the page."""
    if not arguments.render:
        wanted = {job.name: job for number in arguments.only for job in JOBS[number]()}
        run(wanted.values(), arguments.jobs)
    from benchmarks.reproduce import render  # noqa: PLC0415 (it needs matplotlib)

    render()


def job(model: str, normal: int) -> Job:
    """One training."""
    return Job(f"figures/{model}-{normal}", measured, {"model": model, "normal": normal, "seed": 0}, resumes=True)


def _of_table2(*methods: str) -> list[Job]:
    return [table2.job("cpu", method, 0) for method in methods]


JOBS: dict[int, Callable[[], list[Job]]] = {
    3: lambda: [job(model, ITEMS) for model in MODELS],
    4: lambda: [job(model, normal) for normal in SHOWN for model in MODELS],
    5: lambda: _of_table2(*table2.DRAWN),
    6: lambda: _of_table2(*table2.DRAWN),
    7: lambda: _of_table2(*table2.ITEMS),
}
"""What a figure needs."""


def measured(model: str, normal: int, seed: int, checkpoint: Path) -> dict[str, Any]:
    """Pictures `(n, 28, 28)` of grey levels: anomalies, their reconstructions, and the most used items, decoded."""
    from benchmarks.protocol import one_class  # noqa: PLC0415 (only the processes that train need it)
    from benchmarks.table1.runs import load  # noqa: PLC0415

    problem = one_class(load("mnist")[0], normal, seed)
    anomalies = problem.test[problem.classes == SHOWN.get(normal, 4)][:COUNT]
    x_hat, items = (_ours if model == "ours" else _recipe)(model, problem, anomalies, seed, checkpoint)
    found = {"anomalies": anomalies, "x_hat": x_hat, "items": items}
    return {name: np.round(np.clip(each, 0, 255)).astype(int).tolist() for name, each in found.items()}


Pictures = np.ndarray[Any, Any]


def _recipe(model: str, problem: Any, anomalies: Pictures, seed: int, checkpoint: Path) -> tuple[Pictures, Pictures]:
    from benchmarks.protocol import tensor  # noqa: PLC0415
    from benchmarks.table1 import recipes  # noqa: PLC0415

    recipe = {"ae": recipes.autoencoder, "memae_paper": recipes.paper, "memae_authors": recipes.authors}[model](
        "mnist", seed
    )
    network = recipe.build()
    for _ in recipe.train(network, tensor(problem.training), tensor(problem.held_out), checkpoint):
        pass

    def grey(images: Tensor) -> Pictures:
        return np.asarray(recipe.unit(images)[:, 0] * 255)

    with torch.no_grad():
        x_hat = grey(network(recipe.scaled(tensor(anomalies))).x_hat)
        memory = network.memory
        if memory is None:
            return x_hat, np.zeros((0, 28, 28))
        return x_hat, grey(network.decode(memory.items[memory.use.argsort(descending=True)[: 2 * COUNT]]))


def _ours(model: str, problem: Any, anomalies: Pictures, seed: int, checkpoint: Path) -> tuple[Pictures, Pictures]:  # noqa: ARG001
    from memae.estimators import ImageMemAE  # noqa: PLC0415
    from memae.scoring import decoded_items  # noqa: PLC0415

    detector = ImageMemAE(random_state=seed)
    normal = np.concatenate([problem.training, problem.held_out])
    for _ in detector.fit_steps(normal, checkpoint=checkpoint, resume=True):
        pass
    memory = detector.scorer_.model.memory
    assert memory is not None  # noqa: S101 (the default has one)
    most = memory.use.argsort(descending=True)[: 2 * COUNT]
    x_hat = torch.cat([part.x_hat for part in detector.scores(anomalies)])
    return np.asarray(x_hat[:, 0]), np.asarray(decoded_items(detector.scorer_)[most][:, 0])


# ----------------------------------------------------------------------------------------------------------- the page


def section() -> list[str]:
    """The lines of the page; draws the pictures."""
    found = {(model, normal): job(model, normal).record() for normal in (*SHOWN, ITEMS) for model in MODELS}
    there = {key: record for key, record in found.items() if record is not None}
    if len(there) < len(found):
        return []
    PICTURES.mkdir(parents=True, exist_ok=True)
    lines = ["## Figure 3: what single items decode to", ""]
    _draw_items({model: there[model, ITEMS]["items"] for model in MODELS if there[model, ITEMS]["items"]})
    lines += [
        f"![Decoded memory items of three settings, trained on {ITEMS}]({PICTURES.name}/figure3.png)",
        "",
        f"*Trained on the digit {ITEMS} of MNIST; the {2 * COUNT} items that were read most, each decoded alone. Where "
        "half of all items answer a query, as with a cosine without temperature, one alone is no picture; with ours a "
        f"few answer, and some to a {ITEMS} that was turned.*",
        "",
        "## Figure 4: what becomes of an anomaly",
    ]
    for normal, other in SHOWN.items():
        _draw_anomalies(normal, {model: there[model, normal] for model in MODELS})
        lines += [
            "",
            f"![Images of {other}, reconstructions by models trained on {normal}, and errors]"
            f"({PICTURES.name}/figure4_{normal}.png)",
            "",
            f"*Trained on the digit {normal}, shown a {other}. Under each reconstruction its squared error, brighter = "
            "larger, on one scale.*",
        ]
    return lines


def _draw_items(items: dict[str, Any]) -> None:
    from matplotlib.figure import Figure  # noqa: PLC0415 (it belongs to the extra bench)

    figure = Figure(figsize=(COUNT, 2.3 * len(items)), layout="constrained")
    parts = figure.subfigures(len(items), 1, squeeze=False)[:, 0]
    for part, (model, pictures) in zip(parts, items.items(), strict=True):
        part.suptitle(MODELS[model].replace("`", ""), fontsize=9)
        for axes, picture in zip(part.subplots(2, COUNT).flat, pictures, strict=True):
            axes.imshow(picture, cmap="gray", vmin=0, vmax=255)
            axes.set_axis_off()
    figure.savefig(PICTURES / "figure3.png", dpi=80)


def _draw_anomalies(normal: int, found: dict[str, Any]) -> None:
    from matplotlib.figure import Figure  # noqa: PLC0415

    anomalies = np.array(found["ae"]["anomalies"], float)
    rows: list[tuple[str, Pictures, str, float]] = [("anomaly", anomalies, "gray", 255.0)]
    for model, record in found.items():
        x_hat = np.array(record["x_hat"], float)
        name = MODELS[model].replace("`", "").replace(", ", ",\n")
        rows += [(name, x_hat, "gray", 255.0), ("error", ((anomalies - x_hat) / 255) ** 2, "inferno", 0.6)]
    figure = Figure(figsize=(COUNT + 1.6, len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), COUNT)
    for line, (name, pictures, colours, most) in zip(grid, rows, strict=True):
        for axes, picture in zip(line, pictures, strict=True):
            axes.imshow(picture, cmap=colours, vmin=0, vmax=most)
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
        line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
    figure.savefig(PICTURES / f"figure4_{normal}.png", dpi=80)
