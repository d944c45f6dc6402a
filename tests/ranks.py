"""What each of several processes does in tests: `torchrun -m tests.ranks TASK FOLDER`; its results go to FOLDER."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from sklearn.datasets import load_digits
from tests.photographs import parts, tiny_network
from torch import nn
from torch.optim.sgd import SGD

from memae import ImageMemAE, TabularMemAE, VideoMemAE
from memae.data.samples import InMemory, Selection
from memae.demo import street
from memae.errors import OptionError, TrainingError
from memae.estimators import Estimator
from memae.group import Group, join
from memae.joint import joint
from memae.model import MemAE
from memae.options import Epoch, Options
from memae.pretext import Pretext
from memae.pretext.erasing import Erasing
from memae.pretext.rotations import RotationSpec
from memae.spec import MemorySpec, Spec, build
from memae.training import train

IMAGES: dict[str, Any] = {"features": "none", "epochs": 4, "warmup": 2, "n_items": 12, "batch_size": 16}
FILMS: dict[str, Any] = {"features": "none", "epochs": 3, "warmup": 2, "n_items": 8, "batch_size": 7, "size": (32, 48)}
DIES = 8  # step after which a process kills itself


def zeros() -> Any:
    """Images of the digit 0."""
    digits = load_digits()
    return (digits.images[digits.target == 0] * 15).astype("uint8")[:150]


def facts(detector: Estimator) -> dict[str, Any]:
    """What is compared of a fitted detector."""
    return {
        "losses": [each.loss for each in detector.history_],
        "held_out": [each.held_out_error for each in detector.history_],
        "items": [each.health and each.health.in_use for each in detector.history_],
        "threshold": detector.threshold_,
        "state": detector.scorer_.state_dict(),
    }


def images() -> dict[str, Any]:
    """Trains on images, with rotations and erased blocks; the last batch is a small one."""
    return facts(ImageMemAE(**IMAGES).fit(zeros()))


def films() -> dict[str, Any]:
    """Trains on a video whose speeds are predicted."""
    return facts(VideoMemAE(**FILMS, length=3, widths=(8, 8), false_alarm_rate=0.2).fit(street(70, 0)))


def kept_photos() -> dict[str, Any]:
    """Keeps patches of photos."""
    with tiny_network():
        return facts(ImageMemAE(features="efficientnet-lite0", kept_samples=100).fit(parts(25)))


def kept_films() -> dict[str, Any]:
    """Keeps positions of frames."""
    with tiny_network():
        network = {"features": "efficientnet-lite0", "kept_samples": 100, "score_step": 2}
        return facts(VideoMemAE(**network, smooth=1, false_alarm_rate=0.2).fit(street(60, 0)))


def table() -> str:
    """How a table is refused."""
    try:
        TabularMemAE().fit(load_digits().data)
    except OptionError as error:
        return str(error)
    return "fitted"


def normed(group: Group) -> dict[str, Any]:
    """Two steps through BatchNorm in double precision: what this process has of 7 samples, and all gradients."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.LeakyReLU(), nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2)
    )
    model = MemAE(network.double(), None, nn.Identity(), pretext=Pretext()).train()
    x, target = torch.randn(2, 7, 2, 6, 5, dtype=torch.float64), torch.randn(7, 2, 4, 3, dtype=torch.float64)
    steps = SGD(model.parameters(), lr=0.1)
    share = group.share(7)
    outputs = []
    for batch in x:
        with joint(model, group, share):
            found = model(batch[share.rows]).x_hat
            loss = (found - target[share.rows]).abs().pow(3).mean()
        steps.zero_grad()
        (loss * share.weight).backward()
        group.add_gradients(model.parameters())
        steps.step()
        outputs.append(found.detach())
    gradients = [each.grad for each in model.parameters()]
    return {"outputs": torch.stack(outputs), "gradients": gradients, "state": model.state_dict()}


def exact(group: Group) -> list[float]:
    """The losses of a training in double precision, in which rounding does not show."""
    x = torch.from_numpy(zeros()).double()[:, None] / 255
    memory = MemorySpec(10, temperature=0.1)
    torch.manual_seed(0)
    model = build(Spec((1, 8, 8), (8, 16), ((2, 2), (2, 2)), memory, RotationSpec(4))).double()
    options = Options(epochs=6, batch_size=16, learning_rate=1e-3, warmup=2, init="kmeans", revive=True)
    history: list[Epoch] = []
    samples = (Selection(InMemory(part)) for part in (x[:131], x[131:]))
    for _ in train(model, *samples, options, corrupt=Erasing(0.4), group=group, history=history):
        pass
    return [each.loss for each in history]


def everything() -> dict[str, Any]:
    """The results of all tasks that end well."""
    tasks: tuple[Callable[[], Any], ...] = (images, films, kept_photos, kept_films, table)
    found = {task.__name__: task() for task in tasks}
    group = join(torch.device("cpu"))
    disagreement = ""
    try:
        group.agree(group.rank)
    except TrainingError as error:
        disagreement = str(error)
    return found | {"normed": normed(group), "exact": exact(group), "disagreement": disagreement, "rank": group.rank}


def dies(folder: Path) -> None:
    """Trains on a folder; the second process kills itself half-way."""
    steps = ImageMemAE(**IMAGES).fit_steps(folder / "good", checkpoint=folder / "m.memae.checkpoint", every=0.0)
    try:
        for number, _ in enumerate(steps):
            if number == DIES and os.environ["RANK"] == "1":
                os.kill(os.getpid(), signal.SIGKILL)
    except TrainingError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(3) from None


if __name__ == "__main__":
    torch.set_num_threads(1)
    if sys.argv[1] == "dies":
        dies(Path(sys.argv[2]))
    else:
        results = everything()
        torch.save(results, Path(sys.argv[2]) / f"{results['rank']}.pt")
