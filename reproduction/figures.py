"""Figures 3 to 7, one command each; here 3 and 4: what single items decode to, what AE and MemAE make of an anomaly.

Figures 5, 6 and 7 are of runs of Table 2, and rendered with it.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memae.estimators import ImageMemAE
from recording import pictures, records
from recording.jobs import Job
from recording.pictures import Grey
from reproduction import inside
from reproduction.protocol import OneClass, one_class, tensor
from reproduction.recipe import Recipe
from reproduction.table1 import methods as table1
from reproduction.table1 import runs
from reproduction.table2 import methods as table2
from reproduction.tables import AnyMethod

PICTURES = records.ROOT / "docs" / "reproduce"
MODELS = {method.key: method for method in (table1.AE, table1.PAPER, table1.AUTHORS, table1.OURS)}
SHOWN = {5: 9, 2: 4}
"""Figure 4: training digit → digit of the anomalies."""
ITEMS = 9
"""Figure 3: training digit."""
COUNT = 8
"""Pictures per row."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the option that chooses figures."""
    parser.add_argument("--only", nargs="+", type=int, choices=JOBS, default=[3, 4], metavar="N", help="3 to 7")


def chosen(arguments: argparse.Namespace) -> list[Job]:
    """The jobs of the chosen figures, without duplicates."""
    return list({job.name: job for number in arguments.only for job in JOBS[number]()}.values())


def job(model: str, normal: int) -> Job:
    """One training."""
    return Job(f"figures/{model}-{normal}", measured, {"model": model, "normal": normal, "seed": 0}, resumes=True)


def _of_table2(methods: tuple[AnyMethod, ...]) -> list[Job]:
    return [table2.job(method, "cpu", 0) for method in methods]


JOBS: dict[int, Callable[[], list[Job]]] = {
    3: lambda: [job(model, ITEMS) for model in MODELS],
    4: lambda: [job(model, normal) for normal in SHOWN for model in MODELS],
    5: lambda: _of_table2(table2.PICTURED),
    6: lambda: _of_table2(table2.PICTURED),
    7: lambda: _of_table2(tuple(table2.SIZES.values())),
}
"""The jobs of each figure."""


Pictures = NDArray[np.float32]
"""Grey levels `(n, 28, 28)`, not rounded."""


def measured(model: str, normal: int, seed: int, checkpoint: Path) -> dict[str, Grey]:
    """Pictures `(n, 28, 28)`: anomalies, their reconstructions, and the most used items, decoded."""
    problem = one_class(runs.load("mnist")[0], normal, seed)
    anomalies = problem.test[problem.classes == SHOWN.get(normal, 4)][:COUNT]
    recipe = MODELS[model].recipe
    if recipe is None:
        x_hat, items = _of_ours(problem, anomalies, seed, checkpoint)
    else:
        x_hat, items = _of_recipe(recipe("mnist", seed), problem, anomalies, checkpoint)
    return {"anomalies": anomalies, "x_hat": _rounded(x_hat), "items": _rounded(items)}


def _rounded(picture: Pictures) -> Grey:
    return np.round(np.clip(picture, 0, 255)).astype(np.uint8)


def _of_recipe(recipe: Recipe, problem: OneClass, anomalies: Grey, checkpoint: Path) -> tuple[Pictures, Pictures]:
    network = recipe.build()
    for _ in recipe.train(network, tensor(problem.training), tensor(problem.held_out), checkpoint):
        pass

    def grey(images: Tensor) -> Pictures:
        return np.asarray(recipe.unit(images)[:, 0] * 255)

    with torch.no_grad():
        x_hat = grey(network(recipe.scaled(tensor(anomalies))).x_hat)
        memory = network.memory
        if memory is None:
            return x_hat, np.zeros((0, 28, 28), np.float32)
        return x_hat, grey(network.decode(memory.items[memory.use.argsort(descending=True)[: 2 * COUNT]]))


def _of_ours(problem: OneClass, anomalies: Grey, seed: int, checkpoint: Path) -> tuple[Pictures, Pictures]:
    detector = ImageMemAE(random_state=seed)
    inside.fit(detector, np.concatenate([problem.training, problem.held_out]), checkpoint)
    return inside.restored(detector, anomalies), inside.most_read(detector, 2 * COUNT)


# ----------------------------------------------------------------------------------------------------------- the page


def section() -> list[str]:
    """The lines of the page; renders the pictures."""
    there = {
        (model, normal): found for normal in (*SHOWN, ITEMS) for model in MODELS if (found := _read(model, normal))
    }
    if len(there) < (len(SHOWN) + 1) * len(MODELS):
        return []
    lines = ["## Figure 3: what single items decode to", ""]
    _plot_items({model: found["items"] for model in MODELS if "items" in (found := there[model, ITEMS])})
    lines += [
        f"![Decoded memory items of three settings, trained on {ITEMS}]({PICTURES.name}/figure3.png)",
        "",
        f"*Trained on the digit {ITEMS} of MNIST; the {2 * COUNT} items that were read most, each decoded alone. If "
        "half of all items answer a query, as with a cosine without temperature, a single one shows no digit. With "
        f"ours a few answer, some of them to a rotated {ITEMS}.*",
        "",
        "## Figure 4: what becomes of an anomaly",
    ]
    for normal, other in SHOWN.items():
        _plot_anomalies(normal, {model: there[model, normal] for model in MODELS})
        lines += [
            "",
            f"![Images of {other}, reconstructions by models trained on {normal}, and errors]"
            f"({PICTURES.name}/figure4_{normal}.png)",
            "",
            f"*Trained on the digit {normal}, shown a {other}. Below each reconstruction its squared error, on one "
            "scale, brighter = larger.*",
        ]
    return lines


def _read(model: str, normal: int) -> dict[str, Grey] | None:
    """The pictures that a training recorded."""
    own = job(model, normal)
    record = own.record()
    return None if record is None else pictures.read(own.path, record["pictures"])


def _name(model: str) -> str:
    return MODELS[model].name.replace("`", "")


def _plot_items(items: dict[str, Grey]) -> None:
    figure = pictures.figure(COUNT, 2.3 * len(items))
    parts = figure.subfigures(len(items), 1, squeeze=False)[:, 0]
    for part, (model, shown) in zip(parts, items.items(), strict=True):
        part.suptitle(_name(model), fontsize=9)
        for axes, picture in zip(part.subplots(2, COUNT).flat, shown, strict=True):
            axes.imshow(picture, cmap="gray", vmin=0, vmax=255)
            axes.set_axis_off()
    pictures.save(figure, PICTURES / "figure3.png", 80)


def _plot_anomalies(normal: int, found: dict[str, dict[str, Grey]]) -> None:
    anomalies = np.array(next(iter(found.values()))["anomalies"], float)
    rows: list[tuple[str, NDArray[Any], str, float]] = [("anomaly", anomalies, "gray", 255.0)]
    for model, each in found.items():
        x_hat = np.array(each["x_hat"], float)
        rows += [(_name(model).replace(", ", ",\n"), x_hat, "gray", 255.0)]
        rows += [("error", ((anomalies - x_hat) / 255) ** 2, "inferno", 0.6)]
    figure = pictures.figure(COUNT + 1.6, len(rows))
    grid = figure.subplots(len(rows), COUNT)
    for line, (name, shown, colours, most) in zip(grid, rows, strict=True):
        for axes, picture in zip(line, shown, strict=True):
            axes.imshow(picture, cmap=colours, vmin=0, vmax=most)
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
        line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
    pictures.save(figure, PICTURES / f"figure4_{normal}.png", 80)
