"""One hypothesis profile for all tests: the same examples in every run, and no clock. One thread: models are tiny."""

import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import Phase, settings
from tests.photographs import tiny_network

from memae import VideoMemAE, cli

PHASES = (Phase.explicit, Phase.generate, Phase.shrink)  # no explanation, which is slow
settings.register_profile("memae", deadline=None, derandomize=True, max_examples=50, phases=PHASES)
settings.load_profile("memae")
torch.set_num_threads(1)


class Ran(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture(scope="module")
def described_at_random() -> Iterator[None]:
    """Lets detectors describe photos by a tiny network with random weights: no package is needed."""
    with tiny_network():
        yield


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Runs the command line in this process."""
    monkeypatch.setattr("warnings.showwarning", lambda *_, **__: None)  # restored after main() has replaced it

    def call(*arguments: object) -> Ran:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["memae", *map(str, arguments)])
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            with pytest.raises(SystemExit) as stop:
                cli.main()
        ran = Ran(int(stop.value.code or 0), *capsys.readouterr())
        assert "Traceback" not in ran.err
        assert "internal error" not in ran.err
        return ran

    return call


def _squares(frames: int, seed: int = 1, odd: tuple[int, int] = (0, 0)) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A video `(frames, 32, 48)` of a square that moves along; in the frames `odd` it is huge and flickers."""
    rng = np.random.default_rng(seed)
    video = rng.normal(100, 3, (frames, 32, 48))
    for t in range(frames):
        left = (2 * t) % 40
        if odd[0] <= t < odd[1]:
            video[t, 4:28, :36] = rng.choice([20, 240], (24, 36))
        else:
            video[t, 12:20, left : left + 8] = 200
    return video.clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def squares() -> Callable[..., Any]:
    """Makes videos for `watcher`."""
    return _squares


@pytest.fixture(scope="session")
def watcher() -> VideoMemAE:
    """A tiny detector for video, fitted."""
    net: dict[str, Any] = {"widths": (6, 8), "strides": [(1, 2, 2), (2, 2, 2)], "size": "native", "length": 4}
    return VideoMemAE(8, **net, step=2, smooth=1, epochs=6, false_alarm_rate=0.05, held_out=0.2).fit(_squares(240))
