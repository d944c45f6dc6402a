"""A memory of kept samples reads the nearest, restores what is hidden from what is shown, and survives copies."""

import copy
import io
import pickle

import numpy as np
import pytest
import torch

from memae.kept import GROUPS, NEAREST, NEIGHBOURS, SHARPNESS, KeptMemory, hidden_groups


def remembering(samples, fields=None):
    memory = KeptMemory(len(samples), fields or (1,) * samples.shape[1]).to(samples)
    memory.remember(samples)
    return memory.eval()


def samples_of(n, d, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# ------------------------------------------------------------------------------------------------------------- groups


@pytest.mark.parametrize("fields", [(1,), (1, 1), (3, 1), (1,) * 4, (2, 1, 5, 1, 1), (1,) * 30, (7,) * 9])
def test_groups_are_disjoint_whole_fields_and_cover_all(fields):
    hidden = hidden_groups(fields)
    assert hidden.shape[1] == sum(fields)
    assert min(2, len(fields)) <= len(hidden) <= GROUPS
    assert (hidden.sum(0) == 1).all()
    assert hidden.any(1).all()
    start = 0
    for width in fields:
        part = hidden[:, start : start + width]
        assert torch.equal(part, part[:, :1].expand(-1, width))
        start += width
    assert torch.equal(hidden, hidden_groups(fields))


# ------------------------------------------------------------------------------------------------------------ reading


def test_a_reading_by_hand():
    """Two columns, hidden in turn: each is the mean of the items', weighted by the distance in the other."""
    items = torch.tensor([[0.0, 0.0], [1.0, 10.0], [3.0, 30.0]], dtype=torch.float64)
    recall = remembering(items)(torch.tensor([[1.0, 0.0]], dtype=torch.float64))
    nearest = items[:2]  # one fewer than there are: [0, 0] at 1, [1, 10] at 10 away, [3, 30] at 30
    by_second, by_first = ([0.0, 10.0], [1.0, 0.0])  # distances in the column that is shown
    first, second = (np.exp(-SHARPNESS * np.array(d) / np.mean(d)) for d in (by_second, by_first))
    wanted = [
        (first * nearest[:, 0].numpy()).sum() / first.sum(),
        (second * nearest[:, 1].numpy()).sum() / second.sum(),
    ]
    np.testing.assert_allclose(recall.read, [wanted], rtol=1e-12)
    np.testing.assert_allclose(recall.distance, [[1.0, 10.0]])
    np.testing.assert_array_equal(recall.nearest, [nearest])
    apart = [np.hypot(1, 10), np.hypot(2, 20), np.hypot(3, 30)]
    isolation = [(apart[0] + apart[2]) / 2, (apart[0] + apart[1]) / 2]
    np.testing.assert_allclose(recall.isolation, [isolation])
    assert not recall.fallback.any()


@pytest.mark.parametrize("fields", [(1,) * 6, (1, 3, 2, 1, 4)])
def test_a_hidden_group_does_not_take_part_in_its_own_restoration(fields):
    """Where the same items stay nearest, only the read of the other groups depends on a group's values."""
    memory = remembering(samples_of(NEAREST, sum(fields)), fields)
    more = torch.cat([memory.items, memory.items[:1] + 1e6])  # so that all but this one are nearest
    memory = remembering(more.detach(), fields)
    x = samples_of(20, sum(fields), seed=1)
    read = memory(x).read
    for group in memory.hidden:
        changed = torch.where(group, samples_of(20, sum(fields), seed=2), x)
        other = memory(changed)
        assert torch.equal(other.nearest.sum(1).round(decimals=6), memory(x).nearest.sum(1).round(decimals=6))
        torch.testing.assert_close(other.read[:, group], read[:, group], rtol=1e-9, atol=1e-12)
        assert (other.read[:, ~group] - read[:, ~group]).abs().amax() > 1e-3


def test_what_is_read_lies_between_the_items_that_are_read():
    memory, x = remembering(samples_of(300, 7)), 3 * samples_of(50, 7, seed=1)
    recall = memory(x)
    assert recall.nearest.shape == (50, NEAREST, 7)
    assert (recall.read <= recall.nearest.amax(1) + 1e-12).all()
    assert (recall.read >= recall.nearest.amin(1) - 1e-12).all()


def test_weights_sum_to_one_over_the_nearest():
    memory, x = remembering(samples_of(100, 5)), samples_of(30, 5, seed=1)
    found = memory.weights(x)
    np.testing.assert_allclose(found.weights.sum(1), 1, rtol=1e-12)
    assert not found.empty.any()
    weights = found.weights
    assert ((weights > 0).sum(1) == NEAREST).all()
    order = torch.cdist(x, memory.items).argsort(1)[:, :NEAREST]
    assert (weights.gather(1, order) > 0).all()


def test_a_query_equal_to_all_items_in_what_is_shown_takes_their_mean():
    items = torch.tensor([[0.0, 1.0], [0.0, 2.0], [0.0, 6.0], [900.0, 0.0]], dtype=torch.float64)
    read = remembering(items)(torch.tensor([[0.0, 2.0]], dtype=torch.float64)).read
    assert read[0, 1] == pytest.approx(3.0)  # equal distances of 0: no NaN
    assert read[0, 0] == 0


@pytest.mark.parametrize("n", [1, 2, 3, 5, 9, 50])
def test_apart_leaves_a_sample_out_of_its_own_reading(n):
    samples = samples_of(n, 4)
    memory = remembering(samples)
    if n > 1:
        left = memory(samples, torch.arange(n))
        assert (left.distance > 0).all()
        assert left.distance.shape == (n, max(min(NEAREST, n - 1), 1))
        if n > NEAREST + 1:  # as from a memory that lacks the sample
            for row in (0, n // 2, n - 1):
                without = remembering(samples[torch.arange(n) != row])(samples[[row]])
                torch.testing.assert_close(left.read[[row]], without.read)
                torch.testing.assert_close(left.distance[[row]], without.distance)
    known = memory(samples, torch.full((n,), -1))
    assert (known.distance[:, 0] == 0).all()
    torch.testing.assert_close(known.read, memory(samples).read)


def test_isolation_is_the_mean_distance_to_the_nearest_others():
    samples = samples_of(40, 3)
    distance = torch.cdist(samples, samples).sort(1).values[:, 1 : 1 + NEIGHBOURS].mean(1)
    torch.testing.assert_close(remembering(samples).isolation, distance)
    assert remembering(samples[:1]).isolation.tolist() == [0.0]


def test_statistics_are_taken_in_training_alone():
    memory, x = remembering(samples_of(60, 4)), samples_of(30, 4, seed=1)
    assert memory(x).entropy.numel() == memory(x).survivors.numel() == memory(x).use.numel() == 0
    recall = memory.train()(x)
    assert recall.use.shape == (60,)
    assert float(recall.use.sum()) == pytest.approx(30)
    torch.testing.assert_close(recall.use, memory.weights(x).weights.sum(0))
    assert (recall.survivors == NEAREST).all()
    assert ((recall.entropy > 0) & (recall.entropy <= np.log(NEAREST) + 1e-12)).all()


# ------------------------------------------------------------------------------------------------------------- copies


def test_copies_and_restored_memories_read_the_same():
    memory, x = remembering(samples_of(700, 9), (1, 2, 1, 5)), samples_of(40, 9, seed=1)
    read = memory(x).read
    other = KeptMemory(700, (1, 2, 1, 5)).double()
    other(x)  # has prepared itself for other items
    file = io.BytesIO()
    torch.save(memory.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file))
    for again in (copy.deepcopy(memory), pickle.loads(pickle.dumps(memory)), other.eval()):  # noqa: S301
        assert torch.equal(again(x).read, read)
    moved = copy.deepcopy(memory)
    moved.remember(samples_of(700, 9, seed=5))
    assert not torch.equal(moved(x).read, read)
    assert torch.equal(memory(x).read, read)


def test_items_that_change_in_place_are_found_anew():
    memory, x = remembering(samples_of(600, 5)), samples_of(10, 5, seed=1)
    before = memory(x).read
    with torch.no_grad():
        memory.items.copy_(samples_of(600, 5, seed=3))
    assert not torch.equal(memory(x).read, before)
    torch.testing.assert_close(memory(x).read, remembering(samples_of(600, 5, seed=3))(x).read)
    narrow = memory.float()
    torch.testing.assert_close(narrow(x.float()).read, memory.double()(x).read.float(), rtol=1e-3, atol=1e-3)


def test_groups_of_other_fields_are_refused():
    memory = KeptMemory(5, (1, 2, 1))
    memory.check({"hidden": hidden_groups((1, 2, 1))})
    with pytest.raises(ValueError, match="the hidden groups do not fit the fields"):
        memory.check({"hidden": ~hidden_groups((1, 2, 1))})


def test_what_it_says_of_itself():
    assert KeptMemory(100, (1, 1)).about() == {"nearest": NEAREST}
    assert KeptMemory(3, (1, 1)).about() == {"nearest": 2}  # the third is for samples that are left out
