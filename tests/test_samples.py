"""Whatever the order, the buffer and the blocks: every sample comes once, and the same seed gives the same batches."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from memae.data.samples import InMemory, Mapped, ReadAhead, Selection, Streamed, digest, mapped, parts


def seeded(seed):
    return torch.Generator().manual_seed(seed)


@st.composite
def sources(draw):
    """A set of samples of known numbers, in order."""
    total = draw(st.integers(1, 60))
    rows = torch.arange(total).float()[:, None]
    kind = draw(st.sampled_from(["memory", "selection", "streamed", "kept", "mapped", "ahead"]))
    if kind == "memory":
        return Selection(InMemory(rows)), list(range(total))
    keep = torch.tensor(draw(st.lists(st.booleans(), min_size=total, max_size=total)))
    keep[draw(st.integers(0, total - 1))] = True
    kept = keep.nonzero().flatten()
    if kind == "selection":
        return Selection(InMemory(rows), kept), kept.tolist()
    if kind == "ahead":
        return ReadAhead(Selection(InMemory(rows), kept)), kept.tolist()
    if kind == "mapped":
        return Mapped(Selection(InMemory(rows), kept), lambda x: x + 1), (kept + 1).tolist()
    size, buffer = draw(st.integers(1, 20)), draw(st.integers(0, 30))
    blocks = lambda: iter(torch.split(rows, size))  # noqa: E731
    if kind == "streamed":
        return Streamed(blocks, total, buffer), list(range(total))
    return Streamed(blocks, len(kept), buffer, keep), kept.tolist()


def numbers(batches):
    return [int(value) for batch in batches for value in batch[:, 0]]


@given(sources(), st.integers(1, 20), st.integers(0, 3))
def test_every_sample_comes_once_in_batches_that_follow_the_generator(source, size, seed):
    samples, wanted = source
    assert len(samples) == len(wanted)
    assert numbers(samples.batches(size)) == wanted  # no order: that of the source
    batches = list(samples.batches(size, seeded(seed)))
    assert sorted(numbers(batches)) == sorted(wanted)
    again = list(samples.batches(size, seeded(seed)))
    assert [batch.tolist() for batch in batches] == [batch.tolist() for batch in again]
    lengths = [len(batch) for batch in batches]
    assert all(length == size for length in lengths[:-1])
    if len(wanted) > 1 and size > 1:
        assert 1 < lengths[-1] <= size + 1  # never one sample, on which BatchNorm fails


@given(st.integers(1, 9), st.integers(0, 30), st.integers(1, 12), st.integers(1, 200))
def test_the_buffer_is_bounded(size, buffer, block, total):
    drawn = 0

    def blocks():
        nonlocal drawn
        for part in torch.split(torch.arange(total)[:, None], block):
            drawn += len(part)
            yield part

    given_out = 0
    hold = max(size, buffer)
    for batch in Streamed(blocks, total, buffer).batches(size, seeded(0)):
        assert drawn - given_out <= hold + block + size + 1  # pool, what is coming in, and a batch
        given_out += len(batch)
    assert given_out == total


def test_a_buffer_shuffles_over_its_length_and_a_large_one_over_all():
    def spread(buffer):
        samples = Streamed(lambda: iter(torch.split(torch.arange(4000)[:, None], 100)), 4000, buffer)
        found = torch.tensor(numbers(samples.batches(10, seeded(0))))
        return float((found - torch.arange(4000)).abs().float().mean())

    assert spread(0) < 200
    assert spread(200) < spread(1000) < spread(4000)
    assert spread(4000) == pytest.approx(4000 / 3, rel=0.1)  # as two uniform numbers


def test_other_generators_give_other_orders_and_a_used_one_goes_on():
    rows = torch.arange(100)[:, None]
    for samples in (Selection(InMemory(rows)), Streamed(lambda: iter(torch.split(rows, 7)), 100, 20)):
        order = seeded(0)
        first, second = numbers(samples.batches(8, order)), numbers(samples.batches(8, order))
        assert first != second
        assert first != numbers(samples.batches(8, seeded(1)))


@pytest.mark.parametrize(
    ("count", "size", "lengths"),
    [(9, 4, [4, 5]), (8, 4, [4, 4]), (1, 4, [1]), (5, 4, [5]), (3, 1, [1, 2]), (10, 4, [4, 4, 2]), (2, 1, [2])],
)
def test_a_single_sample_left_over_joins_the_batch_before(count, size, lengths):
    found = parts(torch.arange(count), size)
    assert [len(part) for part in found] == lengths
    assert torch.equal(torch.cat(found), torch.arange(count))


def test_mapped_rows_of_numbers_are_computed_once_and_others_batch_by_batch():
    calls = []

    def double(x):
        calls.append(len(x))
        return x.float() * 2

    index = torch.tensor([3, 0, 2])
    for rows, wanted in ((torch.arange(4.0)[:, None], [3]), (torch.arange(4, dtype=torch.uint8)[:, None], [2, 1] * 2)):
        calls.clear()
        samples = mapped(Selection(InMemory(rows), index), double)
        assert len(samples) == 3
        for _ in range(2):
            assert sorted(numbers(samples.batches(3))) == [0, 4, 6]
        assert calls == (wanted if rows.is_floating_point() else [3, 3])


def test_the_digest_sees_every_part():
    a, b = torch.tensor([1.0, 2.0]), torch.tensor(3)
    same = digest([b"x", a, b])
    assert same == digest([b"x", a.clone(), b])
    assert same == digest([b"x", torch.tensor([[1.0, 0.0], [2.0, 0.0]])[:, 0], b])  # not contiguous
    changed = ([b"y", a, b], [b"x", -a, b], [b"x", a], [b"x", b, a], [b"x", torch.tensor([1.0, math.nan]), b])
    assert len({same, *map(digest, changed)}) == 6
