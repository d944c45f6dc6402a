"""Clips as pictures of motion: what is shown, what the memory's answer predicts, where a clip is anomalous."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.scorers import untrained

from memae.frames import smoothed
from memae.pretext.speeds import GROUND, SHARPER, Speeds, SpeedSpec, motion, span, stacked
from memae.randomness import BatchRandom
from memae.scoring.balance import Balance
from memae.scoring.fitting import kept_positions
from memae.scoring.neighbours import distance_to_nearest
from memae.spec import MemorySpec, Spec, build

SPEEDS = (1, 2, 3)
SPEC = Spec(
    (1, 5, 12, 8),
    (6, 4),
    ((2, 2), (2, 2)),
    MemorySpec(10, temperature=0.1, per_position=True),
    pretext=SpeedSpec(SPEEDS),
)


FILM = span(SPEEDS, 5)


def films(count, seed=0, frames=FILM):
    return torch.rand(count, 1, frames, 12, 8, generator=torch.Generator().manual_seed(seed))


def test_a_picture_has_the_frames_and_what_changes_between_them():
    clips = films(2, frames=5)
    assert stacked(clips).shape == (2, 9, 12, 8)
    assert torch.equal(stacked(clips)[:, :5], clips[:, 0])
    assert torch.equal(stacked(clips)[:, 5:], motion(clips))
    assert torch.equal(motion(clips)[:, 2], SHARPER * (clips[:, 0, 3] - clips[:, 0, 2]))
    assert stacked(torch.zeros(1, 3, 5, 4, 4)).shape == (1, 27, 4, 4)


def test_clips_of_every_speed_have_the_same_middle():
    task, numbers = Speeds(4, (1, 2, 3, -1), 5), torch.arange(13.0).reshape(1, 1, 13, 1, 1)
    assert span((1, 2, 3, -1), 5) == 13
    assert task.as_scored(numbers).flatten().tolist() == [4, 5, 6, 7, 8]
    for other, wanted in ((1, [2, 4, 6, 8, 10]), (2, [0, 3, 6, 9, 12]), (3, [8, 7, 6, 5, 4])):
        views = task.views(numbers.repeat(other, 1, 1, 1, 1))  # without chance the last has this other speed
        assert views.key[-1] == other
        assert views.samples[[0, -1]].flatten(1).tolist() == [[4, 5, 6, 7, 8], wanted]
    assert task.views(numbers.repeat(5, 1, 1, 1, 1)).key.tolist() == [1, 2, 3, 1, 2]
    sampled = task.views(numbers.repeat(3000, 1, 1, 1, 1), BatchRandom(torch.Generator().manual_seed(0), 3000)).key
    assert torch.bincount(sampled).tolist() == pytest.approx([0, 1000, 1000, 1000], abs=90)


def test_speeds_are_missed_by_their_log_likelihood_where_something_moves():
    torch.manual_seed(0)
    task = Speeds(4, SPEEDS, 5)
    read, views = torch.randn(4, 4, 3, 2), task.views(films(2), BatchRandom(torch.Generator().manual_seed(5), 2))
    assert views.key.tolist() == [2, 1]
    found = task.surprise(read, views).detach().numpy()
    logits = task.head(read).detach().numpy().astype(float)
    told = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    change = np.abs(np.diff(views.samples.numpy(), axis=2)).max((1, 2)).reshape(4, 3, 4, 2, 4).mean((2, 4))
    weight = change / change.mean() + GROUND
    missed = np.stack([-told[view, played] for view, played in enumerate([0, 0, 2, 1])])
    wanted = (missed * weight).mean((1, 2)) / weight.mean()
    assert found == pytest.approx((wanted[:2] + wanted[2:]) / 2, rel=1e-5)
    still = views._replace(samples=torch.zeros(4, 1, 5, 12, 8))  # nothing moves anywhere: all places count alike
    assert task.surprise(read, still).detach().numpy() == pytest.approx(
        missed.mean((1, 2)).reshape(2, 2).mean(0), rel=1e-5
    )


def test_the_model_restores_frames_and_motion_as_filmed_and_predicts_the_speeds_of_both_views():
    torch.manual_seed(0)
    model, x = build(SPEC).eval(), films(3)
    found = model(x)
    clips = model.pretext.as_scored(x)
    assert torch.equal(model.pretext.target(x), stacked(clips))
    assert found.x_hat.shape == model.pretext.target(x).shape == (3, 9, 12, 8)
    assert found.surprise.shape == found.fallback.shape == (3,)
    assert found.codes.shape == (6, 4, 3, 2)
    alone = model(clips)
    torch.testing.assert_close(alone.x_hat, found.x_hat)
    assert alone.surprise.shape == (3, 3, 2)
    read = model.memory(model.encode(clips)).read
    p = model.pretext.log_probability(read)[:, 0].exp()
    torch.testing.assert_close(alone.surprise, torch.log((1 - p) / p), rtol=1e-4, atol=1e-5)
    plain = build(
        Spec(SPEC.shape, SPEC.widths, SPEC.strides, pretext=SpeedSpec((1,)))
    ).eval()  # nothing to predict, no memory
    assert plain(clips).surprise is None


def fitted(weights=(1.0, 2.0, 3.0)):
    torch.manual_seed(1)
    model = build(SPEC).eval()
    balance = Balance(torch.tensor(weights, dtype=torch.float64))
    scale, kept = torch.tensor(255.0), torch.randn(30, 4)
    return untrained(SPEC, scale=scale, model=model, kept=kept, balance=balance, chunk=4)


@torch.no_grad()
def test_a_clip_is_as_anomalous_as_its_most_anomalous_place():
    scorer, raw = fitted(), 255 * films(6, seed=2, frames=5)
    (first, second) = scorer.batched([raw])
    x = scorer.normalise(raw[:4])
    found = scorer.model(x)
    error = (scorer.model.pretext.target(x) - found.x_hat).square()[:, 5:].mean(1).reshape(4, 3, 4, 2, 4).mean((2, 4))
    distance = distance_to_nearest(found.codes.movedim(1, -1).flatten(0, 2), scorer.kept.items).value.reshape(4, 3, 2)
    everywhere = error + 2 * found.surprise + 3 * distance
    torch.testing.assert_close(first.score, everywhere.flatten(1).amax(1).double(), rtol=1e-5, atol=0)
    torch.testing.assert_close(first.measures, torch.stack([error, found.surprise, distance], 1), rtol=1e-4, atol=1e-6)
    assert scorer.measured == ("error", "surprise", "distance")
    assert first.error_map.shape == (4, 1, 1, 12, 8)
    worst, place = int(first.score.argmax()), everywhere[int(first.score.argmax())].argmax()
    row, column = divmod(int(first.error_map[worst].argmax()), 8)
    assert (row // 4, column // 4) == divmod(int(place), 2)  # the heat map is brightest there
    assert len(second.score) == 2


@torch.no_grad()
def test_the_error_of_motion_alone_counts_where_nothing_else_is_known():
    torch.manual_seed(0)
    scorer = untrained(Spec(SPEC.shape, SPEC.widths, SPEC.strides, pretext=SpeedSpec((1,))), chunk=4)
    model, raw = scorer.model, films(4, frames=5)
    (found,) = scorer.batched([raw])
    error = (model.pretext.target(raw) - model(raw).x_hat).square()[:, 5:].mean(1).reshape(4, 3, 4, 2, 4).mean((2, 4))
    torch.testing.assert_close(found.score, error.flatten(1).amax(1).double(), rtol=1e-5, atol=0)
    assert scorer.measured == ("error",)


def test_weights_are_those_of_the_highest_places_of_normal_clips():
    scorer, normal = fitted(), torch.rand(50, 3, 3, 2, dtype=torch.float64)
    scorer = scorer.replaced(balance=Balance.fit(scorer.measures, normal))
    highest = normal.numpy().max((2, 3))
    assert scorer.balance.weights.numpy() == pytest.approx(1 / highest.std(0))
    mean = normal.numpy().mean(0)
    above = normal.numpy() - mean + mean.mean((1, 2), keepdims=True)  # what is expected at a position does not count
    assert scorer.score(normal).numpy() == pytest.approx(
        (above * (1 / highest.std(0))[:, None, None]).sum(1).max((1, 2)), rel=1e-5
    )


@torch.no_grad()
def test_known_codes_are_those_of_places_of_training_clips():
    scorer, raw = fitted(), 255 * films(5)
    known = kept_positions(scorer, [raw[:2], raw[2:]], 100, 16, torch.Generator().manual_seed(0))
    codes = scorer.model.encode(scorer.model.pretext.as_scored(scorer.normalise(raw))).movedim(1, -1).reshape(-1, 4)
    assert len(known) == 30  # all places of five clips of 3 × 2
    assert {tuple(row) for row in known.numpy().round(5).tolist()} == {
        tuple(r) for r in codes.numpy().round(5).tolist()
    }
    few = kept_positions(scorer, [raw], 7, 16, torch.Generator().manual_seed(0))
    assert few.shape == (7, 4)


@given(st.lists(st.floats(-1e6, 1e6), max_size=30), st.integers(0, 8).map(lambda half: 2 * half + 1))
def test_smoothed_scores_are_means_over_the_frames_around(scores, width):
    found = list(smoothed(enumerate(scores), width))
    half = width // 2
    assert [frame for frame, _ in found] == list(range(len(scores)))
    wanted = [
        math.fsum(near) / len(near) for near in (scores[max(u - half, 0) : u + half + 1] for u in range(len(scores)))
    ]
    assert [score for _, score in found] == pytest.approx(wanted, abs=1e-6)


def test_a_smoothed_score_comes_as_soon_as_it_can():
    fed = []
    stream = smoothed(((fed.append(frame), float(frame)) for frame in range(20)), 5)
    late = [len(fed) - 1 - number for number, _ in enumerate(stream)]
    assert max(late) == 2
