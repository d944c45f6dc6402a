"""The paper's networks, and what is timed of them: all that these measurements use below `memae`'s public interface.

The weights do not matter for the time.
"""

import copy
from collections.abc import Callable, Iterable
from dataclasses import replace

import torch
from torch import Tensor

from memae.checkpoint import Run
from memae.engines.runtimes import Engine, with_engine
from memae.group import ALONE
from memae.model import MemAE
from memae.networks.convolutional import CIFAR10, MNIST, VIDEO
from memae.networks.tabular import KDDCUP
from memae.options import Options
from memae.randomness import BatchRandom
from memae.scoring import Scaling, Scorer
from memae.scoring.measures import Error
from memae.spec import MemorySpec, Spec, build
from memae.training import _learn

ROWS = Spec((120,), KDDCUP, memory=MemorySpec(50, temperature=0.1))
VIDEO_ITEMS = MemorySpec(2000, temperature=0.03, per_position=True)


def of_side(side: int) -> Spec:
    """The paper's network for clips of 16 square frames."""
    return Spec((1, 16, side, side), *VIDEO, VIDEO_ITEMS)


SPECS = {
    "mnist": Spec((1, 28, 28), *MNIST, MemorySpec(100, temperature=0.03)),
    "cifar10": Spec((3, 32, 32), *CIFAR10, MemorySpec(500, temperature=0.03)),
    "kddcup": ROWS,
    "video_128": of_side(128),
    "video_256": of_side(256),
}
"""The networks by their names in results."""


def without_memory(spec: Spec) -> Spec:
    """The autoencoder with the same network."""
    return replace(spec, memory=None)


def built(spec: Spec, seed: int = 0) -> MemAE:
    """An untrained model, the same for the same seed."""
    torch.manual_seed(seed)
    return build(spec)


def scorer_of(spec: Spec, chunk: int = 1, seed: int = 0) -> Scorer:
    """The scorer of an untrained model for `chunk` samples at once: rows as float64, pixels 0..255 as float32."""
    rows = len(spec.shape) == 1
    model = built(spec, seed).to(torch.float64 if rows else torch.float32).eval()
    scaling = Scaling(torch.tensor(0.0), torch.tensor(1.0 if rows else 255.0))
    return Scorer(model, scaling, [Error()], chunk=chunk).eval()


def in_torchs_layout(scorer: Scorer) -> Scorer:
    """A copy whose convolutions have torch's own memory layout, not channels-last."""
    plain = copy.deepcopy(scorer)
    plain.model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return plain


def by_engine(scorer: Scorer, spec: Spec, engine: Engine) -> Scorer:
    """The scorer with another engine computing its network.

    Raises:
        OptionError: the engine does not take it, as OpenVINO does not take tables.
    """
    return with_engine(scorer, spec.shape, engine)


def scoring(scorer: Scorer, batches: Iterable[Tensor]) -> Callable[[], object]:
    """Scores batches of raw samples."""
    kept = list(batches)

    def call() -> None:
        for _ in scorer.batched(kept, maps=False):
            pass

    return call


def inference(model: MemAE, x: Tensor) -> Callable[[], object]:
    """Reconstructs a batch as in scoring."""

    def call() -> None:
        model.eval()
        with torch.no_grad():
            model(x)

    return call


def step(model: MemAE, x: Tensor) -> Callable[[], object]:
    """Trains on a batch as `memae.training` does."""
    options = Options(epochs=1000, batch_size=len(x))
    run = Run(model, options, "", [])
    random, share = BatchRandom(torch.Generator(), len(x)), ALONE.share(len(x))
    return lambda: _learn(run, x, options, 0.0, random, None, ALONE, share)
