"""What must hold of the memory for any code and any items."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from memae.errors import OptionError, ShrinkageError
from memae.memory import (
    Memory,
    address,
    entropy,
    kmeans_items,
    largest_weight,
    sampled_items,
    shrink,
    uniform_items,
)

SPACES = [(), (2, 3), (2, 1, 3)]


@st.composite
def cases(draw, dtype=torch.float64):
    """A memory with random items, and codes for it: any size, scale, similarity, temperature and shrinkage."""
    n, c, b = draw(st.integers(2, 12)), draw(st.integers(1, 5)), draw(st.integers(1, 4))
    torch.manual_seed(draw(st.integers(0, 2**32)))
    similarity = draw(st.sampled_from(["cosine", "dot"]))
    temperature = draw(st.floats(0.02, 4.0))
    bound = largest_weight(n, similarity, temperature) * n
    shrinkage = draw(st.floats(0, min(bound, 5.0), exclude_max=True))
    memory = Memory(
        n,
        c,
        similarity=similarity,
        temperature=temperature,
        shrinkage=shrinkage,
        on_empty=draw(st.sampled_from(["strongest", "zero"])),
        learn_temperature=True,
    ).to(dtype)
    z = torch.randn(b, c, *draw(st.sampled_from(SPACES)), dtype=dtype) * draw(st.sampled_from([1e-3, 1.0, 30.0]))
    if draw(st.booleans()):
        z[0] = 0.0
    return memory, z


@given(cases())
def test_weights_are_sparse_and_sum_to_one(case):
    memory, z = case
    w = address(z, memory.items, similarity=memory.similarity, temperature=memory.log_temperature.exp())
    assert torch.allclose(w.sum(1), torch.ones(()).to(w))
    sparse, empty = memory.weights(z)
    assert (sparse >= 0).all()
    assert torch.equal(empty, (w <= memory.threshold).all(1))
    rows, kept, above = (each.movedim(1, -1) for each in (sparse, sparse > 0, w > memory.threshold))
    assert torch.equal(kept[~empty], above[~empty])
    assert torch.allclose(rows[~empty].sum(-1), torch.ones(()).to(w))
    strongest = w.movedim(1, -1)
    strongest = strongest == strongest.amax(-1, keepdim=True)
    wanted = strongest if memory.on_empty == "strongest" else torch.zeros_like(strongest)
    assert torch.equal(kept[empty], wanted[empty])
    assert torch.allclose(rows[empty].sum(-1), torch.ones(()).to(w) * (memory.on_empty == "strongest"))


@given(cases())
def test_the_figures_beside_the_read_are_those_of_the_weights(case):
    memory, z = case
    w, empty = memory.weights(z)
    recall = memory(z)
    assert recall.read.shape == z.shape
    assert torch.allclose(recall.read, torch.einsum("bn...,nc->bc...", w, memory.items))
    assert torch.equal(recall.survivors, (w > 0).sum(1))
    assert torch.equal(recall.fallback, empty)
    assert torch.allclose(recall.use, w.movedim(1, -1).reshape(-1, w.shape[1]).sum(0))
    assert torch.allclose(recall.entropy, torch.special.entr(w).sum(1))
    # No more than log of the items that answer (a rounding aside).
    assert (recall.entropy <= recall.survivors.clamp_min(1).log() + 1e-9).all()
    assert not recall.use.requires_grad


@given(cases())
def test_gradients_are_finite(case):
    memory, z = case
    z = z.clone().requires_grad_()
    recall = memory(z)
    (recall.read.square().sum() + recall.entropy.sum()).backward()
    for leaf in (z, memory.items, memory.log_temperature):
        assert leaf.grad.isfinite().all()
    if memory.on_empty == "zero" and bool(recall.fallback.all()):
        assert not memory.items.grad.any()


@given(cases(), st.randoms(use_true_random=False))
def test_the_order_of_items_does_not_matter(case, random):
    memory, z = case
    before, w = memory(z), memory.weights(z).weights
    order = torch.tensor(random.sample(range(len(memory.items)), len(memory.items)))
    soft = address(z, memory.items, similarity=memory.similarity, temperature=memory.log_temperature.exp())
    with torch.no_grad():
        memory.items.copy_(memory.items[order])
    near = ((soft - memory.threshold).abs() < 1e-9).any()  # a rounding there decides who survives
    top = soft.topk(2, 1).values
    if near or ((top[:, 0] - top[:, 1]).abs() < 1e-9).any():
        return
    after = memory(z)
    assert torch.allclose(memory.weights(z).weights, w[:, order])
    assert torch.allclose(after.read, before.read)
    assert torch.allclose(after.use, before.use[order])


@given(cases())
def test_each_position_is_a_query_of_its_own(case):
    memory, z = case
    rows = z.movedim(1, -1).reshape(-1, z.shape[1])
    whole, flat = memory(z), memory(rows)
    assert torch.allclose(whole.read.movedim(1, -1).reshape(rows.shape), flat.read)
    assert torch.equal(whole.survivors.reshape(-1), flat.survivors)
    assert torch.equal(whole.fallback.reshape(-1), flat.fallback)
    assert torch.allclose(whole.entropy.reshape(-1), flat.entropy)
    assert torch.allclose(whole.use, flat.use)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("n", [2, 3, 7, 100])
@pytest.mark.parametrize("zero", [False, True])
def test_equal_weights_at_the_threshold_share_the_answer(dtype, n, zero):
    memory = Memory(n, 3, shrinkage=1.0)  # w = λ = 1/N exactly, or a rounding beside it
    with torch.no_grad():
        memory.items.copy_(torch.tensor([0.5, -1.0, 2.0]).expand(n, 3))
    z = torch.zeros(2, 3, dtype=dtype) if zero else torch.tensor([[1.0, 2.0, -3.0], [0.5, 0.25, 1.0]], dtype=dtype)
    z.requires_grad_()
    recall = memory(z)
    (recall.read.float().sum() + recall.entropy.sum()).backward()
    assert recall.read.dtype == dtype
    assert torch.allclose(recall.read.float(), memory.items[:1].expand(2, 3), rtol=1e-2)
    assert torch.allclose(recall.entropy.float(), torch.full((2,), math.log(n)), atol=1e-5)
    assert recall.survivors.tolist() == [n, n]
    assert z.grad.isfinite().all()
    assert memory.items.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_half_precision_codes_are_addressed_in_float32(dtype, similarity):
    torch.manual_seed(0)
    z = torch.randn(5, 4).to(dtype)
    items = torch.randn(6, 4)
    assert torch.equal(address(z, items, similarity=similarity), address(z.float(), items, similarity=similarity))
    assert address(z, items.to(dtype), similarity=similarity).dtype == torch.float32


def test_extreme_codes_and_zero_items_stay_finite():
    for scale in (1e-30, 1e15):
        for similarity in ("cosine", "dot"):
            memory = Memory(4, 3, similarity=similarity)
            with torch.no_grad():
                memory.items[0] = 0.0
            z = (torch.tensor([[1.0, -2.0, 3.0]]) * scale).requires_grad_()
            recall = memory(z)
            (recall.read.sum() + recall.entropy.sum()).backward()
            assert recall.read.isfinite().all()
            assert memory.items.grad.isfinite().all()
            assert z.grad.isfinite().all()


def test_a_row_without_survivors_is_counted_and_filled_or_left_literally_zero():
    w = torch.tensor([[0.4, 0.4, 0.2], [0.5, 0.3, 0.2], [0.9, 0.06, 0.04]])
    strongest, zero = shrink(w, 0.5), shrink(w, 0.5, on_empty="zero")
    assert strongest.empty.tolist() == zero.empty.tolist() == [True, True, False]
    assert strongest.weights.tolist() == [[0.5, 0.5, 0.0], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]
    assert zero.weights.tolist() == [[0.0] * 3, [0.0] * 3, [1.0, 0.0, 0.0]]
    assert entropy(zero.weights).tolist() == [0.0] * 3


@pytest.mark.parametrize(("n", "temperature"), [(2, 1.0), (5, 0.3), (50, 1.0), (300, 0.5), (2, 10.0)])
def test_the_bound_on_lambda_is_named_and_right(n, temperature):
    bound = math.exp(1 / temperature) / (math.exp(1 / temperature) + (n - 1) * math.exp(-1 / temperature))
    with pytest.raises(ShrinkageError, match="every row would be empty") as caught:
        Memory(n, 4, temperature=temperature, shrinkage=bound * n * 1.00001)
    assert f"below {bound * n:.4g}" in str(caught.value)
    assert f"exceed {bound:.4g}" in str(caught.value)
    # Just below the bound, one item along z and all others opposite leave one survivor.
    memory = Memory(n, 4, temperature=temperature, shrinkage=bound * n * 0.99999)
    z = torch.tensor([[1.0, 2.0, -1.0, 0.5]])
    with torch.no_grad():
        memory.items.copy_(-z.expand(n, 4))
        memory.items[0] = z[0]
    recall = memory(3 * z)
    assert recall.fallback.tolist() == [False]
    assert torch.allclose(recall.read, z)


@given(cases())
def test_no_weight_exceeds_the_bound(case):
    memory, z = case
    temperature = float(memory.log_temperature.detach().exp())
    w = address(z, memory.items, similarity=memory.similarity, temperature=temperature)
    assert float(w.detach().max()) <= largest_weight(len(memory.items), memory.similarity, temperature) + 1e-6


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"n": 0}, "items must be 1 or more; got 0"),
        ({"similarity": "euclid"}, "'cosine' or 'dot'; got 'euclid'"),
        ({"temperature": 0.0}, "temperature must be a number above 0; got 0.0"),
        ({"temperature": math.inf}, "temperature"),
        ({"temperature": math.nan}, "temperature"),
        ({"on_empty": "skip"}, "'strongest' or 'zero'; got 'skip'"),
        ({"shrinkage": -1.0}, "shrinkage must be 0 or more"),
        ({"shrinkage": math.nan}, "shrinkage must be 0 or more"),
        ({"shrinkage": 8.0, "similarity": "dot"}, "every row would be empty"),
    ],
)
def test_options_that_cannot_work_are_refused(arguments, word):
    with pytest.raises(OptionError, match=word):
        Memory(**({"n": 8, "channels": 3} | arguments))


def test_uniform_items_fill_their_range_and_follow_the_generator():
    items = uniform_items(2000, 16, torch.Generator().manual_seed(1))
    assert items.shape == (2000, 16)
    assert float(items.abs().max()) <= 0.25
    assert float(items.min()) < -0.249
    assert float(items.max()) > 0.249
    assert torch.equal(items, uniform_items(2000, 16, torch.Generator().manual_seed(1)))


@pytest.mark.parametrize(("m", "n"), [(30, 7), (7, 7), (3, 10), (1, 5)])
def test_sampled_items_are_codes_first_and_told_apart_after(m, n):
    codes = torch.randn(m, 4, generator=torch.Generator().manual_seed(0))
    items = sampled_items(codes, n, torch.Generator().manual_seed(1))
    assert items.shape == (n, 4)
    exact = (items[:, None] == codes[None]).all(-1)
    assert exact[:m].any(1).all()
    assert exact[:m].any(0).sum() == min(m, n)  # drawn without repetition
    assert len(items.unique(dim=0)) == n
    spread = codes.std(0, correction=0).clamp_min(1e-3)
    distance = ((items[:, None] - codes[None]) / spread).abs().amax(-1).amin(1)
    assert float(distance.max()) < 0.06  # noise of 1 %
    assert codes.equal(torch.randn(m, 4, generator=torch.Generator().manual_seed(0)))


def inertia(codes, items):
    return float(torch.cdist(codes, items).amin(1).square().sum())


@pytest.mark.parametrize(("seed", "count"), [(0, 400), (1, 400), (2, 24), (3, 24)])
def test_kmeans_lowers_the_inertia_to_that_of_scikit_learn_from_the_same_start(seed, count):
    from sklearn.cluster import KMeans

    codes = torch.randn(count, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    start = sampled_items(codes, 8, torch.Generator().manual_seed(seed))
    found = kmeans_items(codes, 8, torch.Generator().manual_seed(seed), rounds=300)
    oracle = KMeans(8, init=start.numpy(), n_init=1, max_iter=300, tol=0).fit(codes.numpy())
    assert inertia(codes, found) < 0.9 * inertia(codes, start)
    assert inertia(codes, found) == pytest.approx(oracle.inertia_, rel=1e-9)
    np.testing.assert_allclose(found.numpy(), oracle.cluster_centers_, atol=1e-9)


def test_kmeans_gives_as_many_items_as_asked_for_also_from_few_or_equal_codes():
    for codes in (torch.randn(3, 2), torch.ones(20, 2)):
        items = kmeans_items(codes, 6, torch.Generator().manual_seed(0))
        assert items.shape == (6, 2)
        assert items.isfinite().all()
