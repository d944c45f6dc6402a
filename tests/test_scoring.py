"""What a score is, that it does not depend on its neighbours, and what becomes of the errors of frames."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.scorers import untrained

from memae.data.samples import InMemory, Selection
from memae.errors import InputError, OptionError, ResourceError
from memae.frames import causal, normality, spread_over_frames
from memae.losses import error_map, reconstruction_error
from memae.model import Found
from memae.pretext import Pretext
from memae.pretext.columns import ColumnSpec
from memae.pretext.rotations import RotationSpec, cross_entropy, rotated, rotations_of
from memae.pretext.speeds import SpeedSpec
from memae.scoring import Scores, chunk_size, decoded_items
from memae.scoring.balance import Balance
from memae.scoring.distances import CodeDistance
from memae.scoring.fitting import balanced, kept_codes
from memae.scoring.measures import RelativeError
from memae.spec import MemorySpec, Spec, build

SPECS = {
    "table": Spec((12,), (8, 4), memory=MemorySpec(20, temperature=0.05)),
    "image": Spec((1, 9, 8), (6, 4), ((2, 2), (2, 2)), memory=MemorySpec(20, temperature=0.05)),
    "positions": Spec((1, 9, 8), (6, 4), ((2, 2), (2, 2)), memory=MemorySpec(20, temperature=0.05, per_position=True)),
    "plain": Spec((12,), (8, 4)),
    "rotated": Spec(
        (1, 9, 9), (6, 4), ((2, 2), (2, 2)), memory=MemorySpec(20, temperature=0.05), pretext=RotationSpec(4)
    ),
    "masked": Spec((12,), (8, 4), memory=MemorySpec(20, temperature=0.05), pretext=ColumnSpec((1, 4, 1, 3, 3))),
    "clips": Spec(
        (1, 5, 9, 8),
        (6, 4),
        ((2, 2), (2, 2)),
        MemorySpec(20, temperature=0.05, per_position=True),
        pretext=SpeedSpec((1, 2)),
    ),
    "halves": Spec(
        (2, 9, 8), (6, 4), ((2, 2), (2, 2)), memory=MemorySpec(20, temperature=0.05), pretext=RotationSpec(2)
    ),
}


def scorer_of(kind, chunk=16, reduction="sum"):
    torch.manual_seed(0)
    spec = SPECS[kind]
    model = build(spec)
    for module in model.modules():  # as after training: statistics that are not 0 and 1
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.3, 0.3)
            module.running_var.uniform_(0.5, 2.0)
    width = spec.shape if len(spec.shape) == 1 else (1,)
    center, scale = torch.randn(width, dtype=torch.float64), torch.rand(width, dtype=torch.float64) + 0.5
    return untrained(spec, center, scale, model=model, reduction=reduction, chunk=chunk)


def samples_of(kind, count, seed=1):
    return 4 * torch.randn(count, *SPECS[kind].shape, generator=torch.Generator().manual_seed(seed))


def joined(parts):
    return Scores(*(torch.cat(each) for each in zip(*parts, strict=True)))


@pytest.mark.parametrize("kind", SPECS)
@pytest.mark.parametrize("chunk", [1, 16])
def test_a_score_does_not_depend_on_batch_and_position(kind, chunk):
    scorer, raw = scorer_of(kind, chunk), samples_of(kind, 37)
    whole = joined(scorer.batched([raw]))
    alone = joined(scorer.batched(list(torch.split(raw, 1))))
    ragged = joined(scorer.batched(list(torch.split(raw, [5, 1, 20, 11]))))
    order = torch.randperm(37, generator=torch.Generator().manual_seed(3))
    shuffled = joined(scorer.batched([raw[order]]))
    for other, wanted in ((alone, whole.score), (ragged, whole.score), (shuffled, whole.score[order])):
        torch.testing.assert_close(other.score, wanted, rtol=1e-6, atol=0)
    torch.testing.assert_close(alone.x_hat, whole.x_hat, rtol=1e-5, atol=1e-5)
    assert torch.equal(alone.fallback, whole.fallback)


@pytest.mark.parametrize("kind", [kind for kind in SPECS if kind != "clips"])  # of those in test_pace.py
@pytest.mark.parametrize("reduction", ["sum", "mean", "absolute"])
def test_scores_are_the_reconstruction_errors_of_the_normalised_samples(kind, reduction):
    scorer, raw = scorer_of(kind, reduction=reduction), samples_of(kind, 21)
    found = joined(scorer.batched([raw]))  # as long as nothing was balanced, rotations do not count
    x = ((raw.double() - scorer.scaling.center) / scorer.scaling.scale).float()
    with torch.no_grad():
        x_hat, recall, *_ = scorer.model.eval()(x)
    torch.testing.assert_close(
        found.score, reconstruction_error(x.double(), x_hat.double(), reduction), rtol=1e-5, atol=0
    )
    back = x_hat.double() * scorer.scaling.scale + scorer.scaling.center
    torch.testing.assert_close(found.x_hat, back, rtol=1e-5, atol=1e-5)  # in the raw unit
    total = found.error_map.double().flatten(1).sum(1)
    each = 1 if reduction == "sum" else math.prod(SPECS[kind].shape)
    torch.testing.assert_close(total / each, found.score, rtol=1e-5, atol=0)
    assert found.error_map.shape == found.x_hat.shape == raw.shape
    assert found.score.dtype == torch.float64
    assert not found.fallback.any()  # λ = 1/N: the largest weight always exceeds it
    assert recall is None or not recall.fallback.any()


def test_a_sample_falls_back_if_any_of_its_queries_does():
    scorer = scorer_of("positions")
    scorer.model.memory.threshold = 0.9
    raw = samples_of("positions", 8)
    with torch.no_grad():
        queries = scorer.eval().model(scorer.normalise(raw)).recall.fallback
    assert queries.any()
    assert not queries.all()
    assert torch.equal(joined(scorer.batched([raw])).fallback, queries.flatten(1).any(1))


@pytest.mark.parametrize("kind", SPECS)
@pytest.mark.parametrize("reduction", ["sum", "absolute"])
def test_scores_are_the_same_without_their_maps(kind, reduction):
    scorer, raw = scorer_of(kind, reduction=reduction), samples_of(kind, 21)
    whole, lean = joined(scorer.batched([raw])), joined(scorer.batched([raw], maps=False))
    assert torch.equal(lean.score, whole.score)
    assert torch.equal(lean.fallback, whole.fallback)
    assert lean.error_map.shape == lean.x_hat.shape == (0,)


@pytest.mark.parametrize(("chunk", "counts"), [(4, [4, 4, 1]), (1, [1] * 9), (9, [9]), (100, [9])])
def test_the_network_always_sees_whole_chunks(chunk, counts):
    scorer = scorer_of("table", chunk)
    seen = []
    scorer.model.register_forward_pre_hook(lambda module, x: seen.append(len(x[0])))
    assert [len(part.score) for part in scorer.batched([samples_of("table", 9)])] == counts
    assert seen == [chunk] * len(counts)


@pytest.mark.parametrize("kind", SPECS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_sample_that_is_not_finite_is_refused(kind, value):
    raw = samples_of(kind, 20)
    raw[17].view(-1)[3] = value
    with pytest.raises(InputError, match="not finite"):
        list(scorer_of(kind).batched([raw]))


def test_running_out_of_memory_is_said_in_a_sentence():
    scorer = scorer_of("table")

    def fail(*_):
        raise RuntimeError("CUDA out of memory")

    scorer.model.register_forward_hook(fail)
    with pytest.raises(ResourceError, match="out of memory; score with a smaller model"):
        list(scorer.batched([samples_of("table", 2)]))


def test_scoring_leaves_the_model_and_the_random_numbers_alone():
    scorer = scorer_of("image").train()
    before = {name: value.clone() for name, value in scorer.state_dict().items()}
    state = torch.get_rng_state()
    list(scorer.batched([samples_of("image", 20)]))
    assert all(torch.equal(value, before[name]) for name, value in scorer.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("kind", SPECS)
def test_addressed_gives_the_weights_behind_the_scores(kind):
    scorer, raw = scorer_of(kind), samples_of(kind, 6)
    found = scorer.addressed(raw)
    if kind == "plain":
        assert found is None
        return
    with torch.no_grad():
        model = scorer.model.eval()
        x = scorer.normalise(raw)
        z = model.encode(x)
        recall = model.memory(z) if kind == "masked" else model(x).recall  # nothing is masked
        read = torch.einsum("bn...,nc->bc...", found.weights, model.memory.items)
    assert found.weights.shape == (6, 20, *z.shape[2:])
    torch.testing.assert_close(read, recall.read[: len(read)])  # upright ones come first
    assert torch.equal(found.empty, recall.fallback[: len(read)])


@pytest.mark.parametrize("kind", ["table", "image"])
def test_a_decoded_item_is_the_answer_to_a_code_that_only_it_gets(kind):
    scorer = scorer_of(kind, chunk=7)
    found = decoded_items(scorer)
    assert found.shape == (20, *SPECS[kind].shape)
    with torch.no_grad():
        alone = (
            scorer.model.decode(scorer.model.memory.items[11:12]).double() * scorer.scaling.scale
            + scorer.scaling.center
        )
    torch.testing.assert_close(found[11:12], alone, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["plain", "positions"])
def test_what_has_no_whole_codes_cannot_be_decoded(kind):
    with pytest.raises(OptionError, match="only a memory whose items are whole codes"):
        decoded_items(scorer_of(kind))


@given(st.lists(st.integers(1, 64), min_size=1, max_size=4))
def test_a_chunk_is_a_power_of_two_that_keeps_chunks_of_a_size(shape):
    size, elements = chunk_size(tuple(shape)), math.prod(shape)
    assert 1 <= size <= 1024
    assert math.log2(size).is_integer()
    assert size == 1 or size * elements <= 131_072
    assert size == 1024 or 2 * size * elements > 131_072


@given(st.integers(1, 9), st.integers(1, 5), st.integers(0, 8), st.integers(0, 6), st.integers(0, 3))
def test_each_frame_gets_the_clip_whose_centre_is_nearest(length, step, more, tail, lead):
    starts = [lead + step * place for place in range(more + 1)]
    frames = starts[-1] + length + tail
    found = list(spread_over_frames([(start, str(start)) for start in starts], length, lambda: frames))
    assert [frame for frame, _, _ in found] == list(range(frames))
    for frame, clip, value in found:
        distances = [abs(frame - (start + length // 2)) for start in starts]
        assert clip == starts[distances.index(min(distances))]  # the earlier of two as near
        assert value == str(clip)


def test_frames_come_as_soon_as_they_are_known_and_clips_may_lie_apart_unevenly():
    asked = []

    def clips():
        for start in (0, 3, 10):
            asked.append(start)
            yield start, None

    found = []
    for frame, clip, _ in spread_over_frames(clips(), 4, lambda: 16):
        found.append(clip)
        if frame <= 3:
            assert asked == [0, 3]
    assert found == [0, 0, 0, 0, *[3] * 5, *[10] * 7]
    assert list(spread_over_frames([], 4, lambda: 9)) == []


ERRORS = st.lists(st.integers(0, 2**20).map(lambda number: number / 1024), min_size=1, max_size=30)


@given(ERRORS)
def test_normality_is_equation_11(errors):
    low, high = min(errors), max(errors)
    wanted = [1 - (e - low) / (high - low) if high > low else 1.0 for e in errors]
    assert normality(np.array(errors)).tolist() == wanted


@given(ERRORS, st.integers(0, 1000), st.integers(0, 1000))
def test_causal_scores_know_only_what_came(errors, low, width):
    high, found = low + width, causal(np.array(errors), low, low + width)
    least, most = float(low), float(high)
    for place, error in enumerate(errors):
        least, most = min(least, error), max(most, error)
        assert found[place] == ((error - least) / (most - least) if most > least else 0.0)
        assert np.array_equal(causal(np.array(errors[: place + 1]), low, high), found[: place + 1])


# ------------------------------------------------------------------------ rotations, kept samples and their weights


def measured(x, x_hat):
    return RelativeError()(x, Found(x_hat, None, x[:0], None, x[:0]))


def relative(x, x_hat):
    return measured(x, x_hat).value


def test_the_relative_error_is_blurred_and_in_units_of_the_contrast():
    x = torch.zeros(2, 1, 7, 7)
    x[:, :, 2:5, 2:5] = torch.tensor([1.0, 0.5])[:, None, None, None]  # the same at half the contrast
    assert relative(x, 0.9 * x).diff().abs() < 1e-6
    torch.testing.assert_close(relative(x + 0.3, 0.9 * x + 0.3), relative(x, 0.9 * x))  # nor does brightness count
    # written out: a single pixel off by 1, blurred by two 3 × 3 means
    off = torch.zeros(1, 1, 7, 7)
    off[0, 0, 3, 3] = 1.0
    weights = torch.tensor([1.0, 2.0, 3.0, 2.0, 1.0]) / 9
    expected = torch.zeros(7, 7)
    expected[1:6, 1:6] = (weights[:, None] * weights).square()
    errors = measured(off, 0 * off).parts
    torch.testing.assert_close(errors[0, 0], expected)
    contrast = off.var(correction=0) * 49
    value = relative(off, 0 * off)[0]
    torch.testing.assert_close(value, (expected.square().sum().sqrt() / contrast).double())
    flat = torch.full((1, 1, 7, 7), 0.5)
    assert relative(flat, flat + 0.1).isfinite()
    assert torch.equal(error_map(x, 0 * x), x.square())
    assert torch.equal(reconstruction_error(x, 0 * x), x.square().sum((1, 2, 3)))


def test_images_are_rotated_and_how_badly_that_is_predicted_is_a_likelihood():
    x = torch.arange(18.0).reshape(2, 1, 3, 3)
    four = rotated(x, 4).reshape(4, 2, 1, 3, 3)
    assert torch.equal(four[0], x)
    for turn in range(4):
        assert torch.equal(torch.rot90(four[turn], -turn, (2, 3)), x)
    assert rotated(torch.zeros(3, 2, 4, 5), 2).shape == (6, 2, 4, 5)
    assert torch.equal(Pretext().views(torch.ones(3, 7)).samples, torch.ones(3, 7))
    assert (rotations_of((5, 5)), rotations_of((5, 6))) == (4, 2)
    logits = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
    expected = [
        np.mean([-math.log(torch.softmax(logits[turn * 2 + sample], 0)[turn].item()) for turn in range(4)])
        for sample in range(2)
    ]
    np.testing.assert_allclose(cross_entropy(logits, 4).numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize("kind", ["rotated", "halves", "image", "table"])
def test_a_score_weighs_error_surprise_and_distance_in_their_deviations_over_normal_samples(kind):
    scorer = scorer_of(kind)
    turns = SPECS[kind].pretext.rotations if SPECS[kind].pretext else 1
    normal, raw = samples_of(kind, 50), samples_of(kind, 21, seed=2)
    references = kept_codes(scorer, [samples_of(kind, 30, seed=3)], 25)
    assert references.shape[:2] == (turns, 25)
    torch.testing.assert_close(references.norm(dim=2), torch.ones(turns, 25))
    scorer, weighed = balanced(scorer, [*scorer.measures, CodeDistance(references)], Selection(InMemory(normal)))
    found, known = joined(scorer.batched([raw])), joined(scorer.batched([normal])).measures
    assert torch.equal(known, weighed)
    x = scorer.normalise(raw)
    with torch.no_grad():
        one = scorer.model.eval()(x)
        told = scorer.model(scorer.normalise(normal)).surprise
        codes = torch.stack(
            [scorer.model.encode(torch.rot90(x, k * 4 // turns, (2, 3)) if k else x) for k in range(turns)]
        )
    cosines = torch.cosine_similarity(codes[:, :, None], references[:, None], dim=3)
    measures = [reconstruction_error(x, one.x_hat), *([] if told is None else [(one.surprise / 0.01 + 1).log()])]
    measures.append((1 - cosines.max(2).values).mean(0))
    torch.testing.assert_close(found.measures, torch.stack(measures, 1).double(), rtol=1e-4, atol=1e-5)
    weights = 1 / known.std(0, correction=0)
    if told is not None:
        weights[1] *= max(1 - float(told.mean()) / math.log(turns), 0)
    torch.testing.assert_close(found.score, (found.measures * weights).sum(1), rtol=1e-4, atol=0)


def test_rotations_that_are_not_predicted_do_not_count():
    scorer = scorer_of("rotated")
    with torch.no_grad():
        scorer.model.pretext.head.weight.zero_()
        scorer.model.pretext.head.bias.zero_()
    measures = joined(scorer.batched([samples_of("rotated", 40)])).measures
    weights = Balance.fit(scorer.measures, measures).weights
    assert weights[1] == pytest.approx(0, abs=1e-6)
    assert weights[0] == pytest.approx(1 / float(measures[:, 0].std(correction=0)))


def test_a_sample_that_is_kept_has_no_distance():
    scorer, raw = scorer_of("rotated"), samples_of("rotated", 10)
    scorer = scorer.replaced(measures=[*scorer.measures, CodeDistance(kept_codes(scorer, [raw], 10))])
    assert joined(scorer.batched([raw])).measures[:, 2].abs().max() < 1e-5
