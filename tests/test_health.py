"""The figures of a memory's health from hand-made memories whose answers are known."""

import math

import pytest
import torch

from memae.health import HealthMeter, duplicates
from memae.memory import Memory


def memory_of(items, **options):
    items = torch.as_tensor(items, dtype=torch.float32)
    memory = Memory(*items.shape, **options)
    with torch.no_grad():
        memory.items.copy_(items)
    return memory


def health_of(memory, *batches):
    meter = HealthMeter(len(memory.items))
    for batch in batches:
        meter.add(memory(batch))
    return meter.health(duplicates(memory.items.detach()))


def test_a_memory_of_axes_read_along_two_of_them():
    memory = memory_of(torch.eye(4), temperature=0.1)
    health = health_of(memory, torch.tensor([[5.0, 0, 0, 0], [0, 2.0, 0, 0], [0, 1.0, 0, 0], [0, 1.0, 0, 0]]))
    assert (health.items, health.in_use, health.dead, health.duplicates) == (4, 2, 2, 0)
    assert health.effective == pytest.approx(1.0)
    assert health.survivors == 1.0
    assert health.fallback_rate == 0.0
    assert health.top_share == pytest.approx(0.75)
    assert health.collapse is None


def test_an_item_read_once_in_a_thousand_times_is_in_use():
    z = torch.eye(3)[[0] * 999 + [1]]
    health = health_of(memory_of(torch.eye(3), temperature=0.1), z)
    assert (health.in_use, health.dead) == (2, 1)
    assert health.top_share == pytest.approx(0.999)


@pytest.mark.parametrize("sharing", [1, 2, 3, 8])
def test_effective_counts_the_items_that_share_an_answer(sharing):
    items = torch.eye(8)
    items[:sharing] = items[0].clone()
    health = health_of(memory_of(items, temperature=0.1), 3 * items[:1].repeat(5, 1))
    assert health.effective == pytest.approx(sharing, rel=1e-5)
    assert health.survivors == sharing
    assert health.top_share == pytest.approx(1 / sharing, rel=1e-5)
    assert health.dead == 8 - sharing
    assert health.duplicates == sharing - 1


def test_effective_is_the_mean_of_the_exponential_of_the_entropy():
    torch.manual_seed(0)
    memory = Memory(6, 3, temperature=0.3)
    z = torch.randn(20, 3)
    recall = memory(z)
    wanted = sum(math.exp(each) for each in recall.entropy.tolist()) / 20
    assert health_of(memory, z).effective == pytest.approx(wanted)


def test_one_item_that_answers_everything_is_a_collapse():
    memory = memory_of(torch.eye(3), temperature=0.1)
    health = health_of(memory, torch.tensor([[1.0, 0, 0]]).repeat(30, 1))
    assert health.collapse.startswith("one of 3 items gives 100% of all answers")
    alone = health_of(memory_of([[1.0, 0.0]], shrinkage=0.0), torch.ones(3, 2))
    assert alone.top_share == 1.0
    assert alone.collapse is None  # a memory of one item cannot do otherwise


def test_no_item_that_answers_is_a_collapse():
    memory = memory_of(torch.eye(4), shrinkage=2.5, on_empty="zero")
    empty = -torch.ones(6, 4)
    health = health_of(memory, empty, 9 * torch.eye(4)[:2])
    assert health.fallback_rate == 1.0
    assert health.in_use == 0
    assert health.top_share == 0.0
    assert health.collapse.startswith("no item exceeds the shrinkage threshold for 100% of the queries")


def test_batching_does_not_matter():
    torch.manual_seed(1)
    memory = Memory(9, 3, temperature=0.2, shrinkage=1.5)
    z = torch.randn(30, 3, 2, 2)
    whole = health_of(memory, z)
    for size in (1, 7, 29):
        parts = health_of(memory, *torch.split(z, size))
        for name in whole.__dataclass_fields__:
            assert getattr(parts, name) == pytest.approx(getattr(whole, name), rel=1e-6)
    assert 0 < whole.top_share < 1


def test_the_share_sums_to_one_unless_nothing_was_read():
    memory = Memory(5, 2)
    meter = HealthMeter(5)
    assert meter.share.tolist() == [0.0] * 5
    assert meter.health(duplicates(memory.items.detach())).dead == 5
    meter.add(memory(torch.randn(11, 2)))
    assert float(meter.share.sum()) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("items", "count"),
    [
        ([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]], 2),
        ([[100.0, 0.0], [100.9, 0.0]], 1),
        ([[100.0, 0.0], [101.5, 0.0]], 0),
        ([[1.0, 0.0], [-1.0, 0.0], [2.0, 0.0]], 0),
        ([[0.0, 0.0], [0.0, 0.0]], 1),
        ([[3.0, 1.0]], 0),
    ],
)
def test_duplicates_are_items_within_one_percent(items, count):
    assert duplicates(torch.tensor(items)) == count


def test_duplicates_among_many_items():
    items = torch.randn(200, 16, generator=torch.Generator().manual_seed(0))
    assert duplicates(torch.cat([items, items[:40] * 1.001])) == 40
