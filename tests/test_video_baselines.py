"""The compared methods for video, each against a known answer."""

import numpy as np
import pytest
import torch
from torch import Tensor

pytest.importorskip("reproduction.baselines.descent")

from memae.data.clips import Clips
from memae.data.samples import InMemory, Selection
from memae.data.videos import videos_of_array
from memae.errors import TrainingError
from memae.metrics import auroc
from reproduction.baselines.conv2d import StackedFrames
from reproduction.baselines.conv3d import SpatioTemporal, prediction_weights
from reproduction.baselines.descent import descend

SIDE = 32


def scene(seed: int, *, speed: int = 1, size: tuple[int, int] = (8, 8), frames: int = 24) -> np.ndarray:
    """A light square that goes to the right on dark ground, and comes back from the left: `(t, h, w)` uint8."""
    random = np.random.default_rng(seed)
    video = np.full((frames, SIDE, SIDE), 40, np.uint8)
    top, left = random.integers(0, [3, SIDE]) * [8, 1]
    for number, frame in enumerate(video):
        frame[top : top + size[0], (left + speed * number + np.arange(size[1])) % SIDE] = 200
    return video


def clips(seeds: range, length: int, step: int = 3, **kind) -> Selection:
    """Clips of several scenes."""
    return Selection(Clips(videos_of_array([scene(seed, **kind) for seed in seeds]), length, step))


def tensor(selected: Selection) -> Tensor:
    return torch.cat(list(selected.batches(8)))


def stacked(epochs: int, **options) -> StackedFrames:
    return StackedFrames(epochs=epochs, **{"length": 6, "width": 0.15, "rate": 4e-3, "batch": 8} | options)


def spatiotemporal(epochs: int, **options) -> SpatioTemporal:
    return SpatioTemporal(epochs=epochs, **{"length": 8, "width": 0.25, "rate": 1e-2, "batch": 4} | options)


def training(made) -> tuple[Selection, Selection]:
    length = 6 if made is stacked else 16  # eight to restore, eight to predict
    return clips(range(40), length), clips(range(40, 46), length)


METHODS = pytest.mark.parametrize("made", [stacked, spatiotemporal])


@METHODS
def test_what_is_faster_or_of_another_shape_scores_higher(made):
    detector = made(8).fit(*training(made))
    normal = tensor(clips(range(50, 56), detector.length))
    found = detector.clip_error(normal)
    assert found.errors.shape == (len(normal),)
    assert found.errors.dtype == torch.float64
    assert found.maps.shape == normal[:, 0].shape
    assert found.maps.dtype == torch.float32
    torch.testing.assert_close(found.errors, found.maps.double().sum((1, 2, 3)), rtol=1e-5, atol=0)
    for kind in ({"speed": 5}, {"size": (16, 4)}):
        others = detector.clip_error(tensor(clips(range(50, 56), detector.length, **kind)))
        labels = np.repeat([0, 1], [len(normal), len(others.errors)])
        assert auroc(labels, torch.cat([found.errors, others.errors]).numpy()) > 0.9
    assert detector.history.index(min(detector.history)) > 2
    alone = detector.train().clip_error(normal[3:4])
    assert torch.equal(alone.errors, found.errors[3:4])
    assert torch.equal(alone.maps, found.maps[3:4])
    assert not detector.training


@METHODS
@pytest.mark.parametrize("size", [(128, 128), (96, 144), (240, 360)])
def test_frames_of_any_size_come_back(made, size):
    detector = made(1, width=0.02)
    detector.build()
    x = torch.rand(1, 1, detector.length, *size)
    with torch.no_grad():
        assert detector.reconstruct(x).shape == x.shape
    assert detector.clip_error((x * 255).byte()).maps.shape == (1, detector.length, *size)


def test_the_widths_are_the_published_ones():
    plane, solid = StackedFrames(epochs=1), SpatioTemporal(epochs=1, width=1)
    plane.build()
    solid.build()
    shapes = [tuple(layer.weight.shape) for layer in (plane.conv1, plane.conv2, plane.conv3)]
    assert shapes == [(512, 10, 11, 11), (256, 512, 5, 5), (128, 256, 3, 3)]
    assert plane.deconv1.weight.shape == plane.conv1.weight.shape
    code = solid.encoder(torch.zeros(2, 1, 16, 32, 32))
    assert code.shape == (2, 64, 2, 4, 4)
    assert solid.predicting(code).shape == (2, 1, 16, 32, 32)


# ---------------------------------------------------------------------------------------------------------- prediction


def test_the_weights_of_the_prediction_fall_with_time():
    weights = prediction_weights(16)
    assert (weights.diff() < 0).all()
    assert weights[0] == 1 / 16
    assert weights[-1] == 1 / 256
    assert float(weights.sum()) == pytest.approx(17 / 32)


def test_the_loss_is_that_of_the_restored_frames_and_the_weighed_one_of_those_to_come():
    model = spatiotemporal(1)
    model.build()
    for parameter in model.predicting[-1].parameters():
        torch.nn.init.zeros_(parameter)  # so that it predicts black
    x = tensor(clips(range(2), 16))
    random = torch.Generator()
    restored = model.eval().loss(x[:, :, :8], random)
    torch.testing.assert_close(restored, model.clip_error(x[:, :, :8]).maps.mean((1, 2, 3)))
    to_come = (x[:, 0, 8:] / 255).square()
    expected = restored + sum((8 - t) / 64 * to_come[:, t].mean((1, 2)) for t in range(8))
    torch.testing.assert_close(model.loss(x, random), expected)
    part = restored + sum((8 - t) / 64 * to_come[:, t].mean((1, 2)) for t in range(3))
    torch.testing.assert_close(model.loss(x[:, :, :11], random), part)


# ------------------------------------------------------------------------------------------------------------ training


class KilledError(Exception):
    pass


class Mortal(Selection):
    """Samples that are there for so many batches alone."""

    lives = 100

    def steps(self, size: int) -> int:
        return -(-len(self) // size)

    def batches(self, size, order=None):
        for batch in super().batches(size, order):
            if order is not None:
                self.lives -= 1
            if not self.lives:
                raise KilledError
            yield batch


def few(made, kind=Selection) -> tuple[Selection, Selection]:
    learned, held_out = training(made)
    return kind(learned.samples, learned.index[:20]), Selection(held_out.samples, held_out.index[:6])


def weights(module: torch.nn.Module) -> Tensor:
    return torch.cat([value.flatten().double() for value in module.state_dict().values()])


@METHODS
def test_a_killed_training_goes_on_and_ends_as_if_nothing_had_been(made, tmp_path):
    whole = made(4).fit(*few(made))
    learned, held_out = few(made, Mortal)
    learned.lives = 2 * learned.steps(made(1).batch) + 2  # it dies in the third epoch
    checkpoint = tmp_path / "a.checkpoint"
    with pytest.raises(KilledError):
        made(4).fit(learned, held_out, checkpoint)
    assert [file.name for file in tmp_path.iterdir()] == ["a.checkpoint"]
    learned.lives = 100
    resumed = made(4).fit(learned, held_out, checkpoint)
    assert learned.lives == 100 - 2 * learned.steps(made(1).batch)
    assert resumed.history == whole.history
    assert torch.equal(weights(resumed), weights(whole))
    learned.lives = 1  # nothing is left to learn
    again = made(4).fit(learned, held_out, checkpoint)
    assert not again.training
    assert torch.equal(weights(again), weights(whole))


@METHODS
def test_a_checkpoint_of_other_settings_or_data_is_refused(made, tmp_path):
    learned, held_out = few(made)
    checkpoint = tmp_path / "a.checkpoint"
    made(1).fit(learned, held_out, checkpoint)
    for options in ({"seed": 1}, {"rate": 1e-4}, {"batch": 5}, {"width": 0.5}):
        with pytest.raises(TrainingError, match="other data or settings; use those, or delete it"):
            made(1, **options).fit(learned, held_out, checkpoint)
    for other in ((held_out, held_out), (learned, learned)):
        with pytest.raises(TrainingError, match="other data or settings"):
            made(1).fit(*other, checkpoint)


def test_a_tensor_resumes_too_with_the_same_noise(tmp_path):
    rows = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))

    def train(dies: int, checkpoint=None) -> tuple[list[float], Tensor]:
        module = torch.nn.Linear(3, 3)
        torch.nn.init.eye_(module.weight)
        torch.nn.init.zeros_(module.bias)
        steps = 0

        def loss(x: Tensor, random: torch.Generator) -> Tensor:
            nonlocal steps
            steps += 1
            if steps == dies:
                raise KilledError
            return (module(x + torch.randn(x.shape, generator=random)) - x).square().sum(1)

        history = descend(
            module, loss, rows[:32], rows[32:], epochs=3, rate=0.1, seed=0, batch=8, checkpoint=checkpoint
        )
        return history, weights(module)

    history, whole = train(0)
    with pytest.raises(KilledError):
        train(8, tmp_path / "a")
    assert train(0, tmp_path / "a")[0] == history
    assert torch.equal(train(0, tmp_path / "a")[1], whole)
    samples = Selection(InMemory(rows[:32])), Selection(InMemory(rows[32:]))  # 32 rows fill batches of 8
    module = torch.nn.Linear(3, 3)
    with pytest.raises(TrainingError):
        descend(module, lambda x, _: x.sum(1), *samples, epochs=4, rate=0.1, seed=0, batch=8, checkpoint=tmp_path / "a")


@METHODS
def test_the_seed_alone_draws_weights_and_order(made):
    state = torch.get_rng_state()
    first, same, other = (weights(made(1, seed=seed).fit(*few(made))) for seed in (3, 3, 4))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    detector = made(1, seed=3)
    assert torch.equal(weights(detector.fit(*few(made)).fit(*few(made))), first)
    assert torch.equal(torch.get_rng_state(), state)
