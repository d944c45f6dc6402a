"""Clips as pictures of motion: what is shown, what is told from the memory's answer, and where a clip is anomalous."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from memae.frames import smoothed
from memae.model import MemorySpec, Spec, build
from memae.neighbours import apart
from memae.networks.pace import GROUND, SHARPER, Pace, motion, span, stacked
from memae.scoring import Scorer

PACES = (1, 2, 3)
SPEC = Spec((1, 5, 12, 8), (6, 4), ((2, 2), (2, 2)), MemorySpec(10, temperature=0.1, per_position=True), paces=PACES)


FILM = span(PACES, 5)


def films(count, seed=0, frames=FILM):
    return torch.rand(count, 1, frames, 12, 8, generator=torch.Generator().manual_seed(seed))


def test_a_picture_has_the_frames_and_what_changes_between_them():
    clips = films(2, frames=5)
    assert stacked(clips).shape == (2, 9, 12, 8)
    assert torch.equal(stacked(clips)[:, :5], clips[:, 0])
    assert torch.equal(stacked(clips)[:, 5:], motion(clips))
    assert torch.equal(motion(clips)[:, 2], SHARPER * (clips[:, 0, 3] - clips[:, 0, 2]))
    assert stacked(torch.zeros(1, 3, 5, 4, 4)).shape == (1, 27, 4, 4)


def test_clips_of_every_pace_have_the_same_middle():
    pace, numbers = Pace(4, (3, 2), (1, 2, 3, -1), 5), torch.arange(13.0).reshape(1, 1, 13, 1, 1)
    assert span((1, 2, 3, -1), 5) == 13
    assert pace.normal(numbers).flatten().tolist() == [4, 5, 6, 7, 8]
    for other, wanted in ((1, [2, 4, 6, 8, 10]), (2, [0, 3, 6, 9, 12]), (3, [8, 7, 6, 5, 4])):
        views = pace.views(numbers, torch.tensor([other]))
        assert views.flatten(1).tolist() == [[4, 5, 6, 7, 8], wanted]
    assert pace.every(5).tolist() == [1, 2, 3, 1, 2]
    drawn = pace.drawn(3000, torch.Generator().manual_seed(0))
    assert torch.bincount(drawn).tolist() == pytest.approx([0, 1000, 1000, 1000], abs=90)


def test_paces_are_missed_by_their_log_likelihood_where_something_moves():
    torch.manual_seed(0)
    pace, others = Pace(4, (3, 2), PACES, 5), torch.tensor([2, 1])
    read, views = torch.randn(4, 4, 3, 2), pace.views(films(2), others)
    found = pace.mistold(read, views, others).detach().numpy()
    logits = pace.teller(read).detach().numpy().astype(float)
    told = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    change = np.abs(np.diff(views.numpy(), axis=2)).max((1, 2)).reshape(4, 3, 4, 2, 4).mean((2, 4))
    weight = change / change.mean() + GROUND
    missed = np.stack([-told[view, played] for view, played in enumerate([0, 0, 2, 1])])
    wanted = (missed * weight).mean((1, 2)) / weight.mean()
    assert found == pytest.approx((wanted[:2] + wanted[2:]) / 2, rel=1e-5)
    still = torch.zeros(4, 1, 5, 12, 8)  # nothing moves anywhere: all places count alike
    assert pace.mistold(read, still, others).detach().numpy() == pytest.approx(
        missed.mean((1, 2)).reshape(2, 2).mean(0), rel=1e-5
    )


def test_the_model_restores_frames_and_motion_as_filmed_and_tells_the_paces_of_both_views():
    torch.manual_seed(0)
    model, x = build(SPEC).eval(), films(3)
    found = model(x)
    clips = model.pace.normal(x)
    assert torch.equal(model.target(x), stacked(clips))
    assert found.x_hat.shape == model.target(x).shape == (3, 9, 12, 8)
    assert found.surprise.shape == found.fallback.shape == (3,)
    assert found.query.shape == (6, 4, 3, 2)
    alone = model(clips)
    torch.testing.assert_close(alone.x_hat, found.x_hat)
    assert alone.surprise.shape == (3, 3, 2)
    read = model.memory(model.encode(clips)).read
    p = model.pace.told(read)[:, 0].exp()
    torch.testing.assert_close(alone.surprise, torch.log((1 - p) / p), rtol=1e-4, atol=1e-5)
    plain = build(Spec(SPEC.shape, SPEC.widths, SPEC.strides, paces=(1,))).eval()  # nothing to tell, no memory
    assert plain(clips).surprise is None


def fitted(weights=(1.0, 2.0, 3.0)):
    torch.manual_seed(1)
    scorer = Scorer(build(SPEC).eval(), torch.tensor(0.0), torch.tensor(255.0), chunk=4)
    scorer.remember(torch.randn(30, 4))
    scorer.weights.copy_(torch.tensor(weights))
    return scorer


@torch.no_grad()
def test_a_clip_is_as_anomalous_as_its_most_anomalous_place():
    scorer, raw = fitted(), 255 * films(6, seed=2, frames=5)
    (first, second) = scorer.batched([raw])
    x = scorer.normalise(raw[:4])
    found = scorer.model(x)
    error = (scorer.model.target(x) - found.x_hat).square()[:, 5:].mean(1).reshape(4, 3, 4, 2, 4).mean((2, 4))
    distance = apart(found.query.movedim(1, -1).flatten(0, 2), scorer.references).distance.reshape(4, 3, 2)
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
    model = build(Spec(SPEC.shape, SPEC.widths, SPEC.strides, paces=(1,)))
    scorer, raw = Scorer(model, torch.tensor(0.0), torch.tensor(1.0), chunk=4), films(4, frames=5)
    (found,) = scorer.batched([raw])
    error = (model.target(raw) - model(raw).x_hat).square()[:, 5:].mean(1).reshape(4, 3, 4, 2, 4).mean((2, 4))
    torch.testing.assert_close(found.score, error.flatten(1).amax(1).double(), rtol=1e-5, atol=0)
    assert scorer.measured == ("error",)


def test_weights_are_those_of_the_highest_places_of_normal_clips():
    scorer, normal = fitted(), torch.rand(50, 3, 3, 2, dtype=torch.float64)
    scorer.balance(normal)
    highest = normal.numpy().max((2, 3))
    assert scorer.weights.numpy() == pytest.approx(1 / highest.std(0))
    usual = normal.numpy().mean(0)
    above = normal.numpy() - usual + usual.mean((1, 2), keepdims=True)  # what is usual at a place does not count
    assert scorer.weighed(normal).numpy() == pytest.approx(
        (above * (1 / highest.std(0))[:, None, None]).sum(1).max((1, 2)), rel=1e-5
    )


@torch.no_grad()
def test_known_codes_are_those_of_places_of_training_clips():
    scorer, raw = fitted(), 255 * films(5)
    known = scorer.position_codes([raw[:2], raw[2:]], 100, 16, torch.Generator().manual_seed(0))
    codes = scorer.model.encode(scorer.model.pace.normal(scorer.normalise(raw))).movedim(1, -1).reshape(-1, 4)
    assert len(known) == 30  # all places of five clips of 3 × 2
    assert {tuple(row) for row in known.numpy().round(5).tolist()} == {
        tuple(r) for r in codes.numpy().round(5).tolist()
    }
    few = scorer.position_codes([raw], 7, 16, torch.Generator().manual_seed(0))
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
