"""Reads a memory without its full matrix of weights: Eq. 3 to 6 and 9 in chunks of rows, recomputed in backward.

For B queries and N items the weights are a B × N matrix, and automatic differentiation keeps several of them. Here the
weights of a chunk of queries, which fit into the cache, are discarded after reading, and the backward pass recomputes
them. Only the input is kept.

Over the items that survive the shrinkage, Eq. 6 and the renormalisation are a softmax of the logits s, so that
∂L/∂s = ŵ (a − Σ ŵ a) with a = ∂L/∂ŵ, and the entropy of Eq. 9 adds −s ∂L/∂E to a: no logarithm, no ε.
"""

import functools
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

CACHED = 2**19
"""Weights per chunk on a CPU: 2 MiB in float32. Smaller chunks give the matrix product too few rows, larger ones do not
stay in the cache between passes over the weights."""

LARGE = 2**26
"""Weights per chunk on a GPU, which small chunks would not keep busy."""

FEW = 256
"""Number of items below which weights are stored item by item, not query by query, since sums over few items would be
short loops."""


BOUND = 80.0
"""Exponents up to which exponentials, and sums of millions of them, are far from the limits of float32."""


class Answer(NamedTuple):
    """The read-out of B queries."""

    read: Tensor  # (B, D), ŵ V
    empty: Tensor  # (B,), bool: no weight exceeded λ
    entropy: Tensor  # (B,), nats; this and the following fields are (0,) without statistics
    survivors: Tensor  # (B,), items read
    use: Tensor  # (N,), sum of ŵ over the queries


def attend(
    queries: Tensor,
    items: Tensor,
    sharpness: Tensor,
    threshold: float,
    *,
    cosine: bool = True,
    strongest: bool = True,
    bounded: bool = False,
    statistics: bool = True,
    compiled: bool = False,
) -> Answer:
    """Reads `items` by their sparse addressing weights; differentiable once in the three tensors.

    Args:
        queries: `(B, C)`.
        items: `(N, C)`, both keys and values.
        sharpness: 1 / τ, a scalar tensor.
        threshold: λ; weights that do not exceed it become 0, the others are scaled to sum 1.
        cosine: whether d of Eq. 4 is the cosine similarity (Eq. 5); otherwise the dot product.
        strongest: whether a row in which no weight exceeds λ keeps its largest weight; otherwise it reads 0.
        bounded: whether all d / τ are known to lie within ±`BOUND`, so that softmax need not subtract the maximum.
        statistics: whether to compute entropy, survivors and use, which takes a quarter of the time.
        compiled: whether full chunks run through `torch.compile`, which takes seconds once per size.
    """
    how = _How(threshold, cosine, strongest, bounded, statistics, compiled)
    if torch.is_grad_enabled():
        return Answer(*_Attend.apply(queries, items, sharpness, how))  # type: ignore[no-untyped-call]
    return _attend(*_normalised(queries, items, sharpness, how)[:2], items, how)


class _How(NamedTuple):
    threshold: float
    cosine: bool
    strongest: bool
    bounded: bool
    statistics: bool
    compiled: bool


def chunk_rows(items: int, device: torch.device) -> int:
    """Number of queries per chunk."""
    rows = (CACHED if device.type == "cpu" else LARGE) // items
    return max(rows // 64, 1) * 64  # with other numbers the matrix product is a tenth slower


def _normalised(queries: Tensor, items: Tensor, sharpness: Tensor, how: _How) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Queries and keys whose product is d / τ, and their former lengths; a zero vector stays zero."""
    if not how.cosine:
        return queries, items * sharpness, sharpness, sharpness  # the lengths are not used
    lengths = [torch.linalg.vector_norm(each, dim=1, keepdim=True) for each in (queries, items)]
    of_queries, of_items = (length + (length == 0) for length in lengths)
    return queries / of_queries, items * (sharpness / of_items), of_queries, of_items


def _attend(queries: Tensor, keys: Tensor, values: Tensor, how: _How) -> Answer:
    count = len(queries)
    read = _room(values, count, len(keys))
    use = values.new_zeros(len(keys) if how.statistics else 0)
    figures = []
    for part, run, logits, more in _chunks(queries, keys, 1 + how.statistics, how.compiled):
        w, kept, *found = run(_summary)(logits, more, how)
        torch.mm(w, values, out=read[part]).div_(kept)
        if how.statistics:
            use.addmv_(w.T, 1 / kept.squeeze(1))
        figures.append(found)
    empty, entropy, survivors = figures[0] if len(figures) == 1 else map(torch.cat, zip(*figures, strict=True))
    return Answer(read, empty, entropy, survivors, use)


class _Attend(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, queries: Tensor, items: Tensor, sharpness: Tensor, how: _How) -> Answer:
        directions, keys, of_queries, of_items = _normalised(queries, items, sharpness, how)
        ctx.save_for_backward(directions, keys, items, sharpness, of_queries, of_items)
        ctx.how = how
        answer = _attend(directions, keys, items, how)
        ctx.mark_non_differentiable(answer.empty, answer.survivors, answer.use)
        return answer

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        queries, keys, values, sharpness, of_queries, of_items = ctx.saved_tensors
        to_read, _, to_entropy, *_ = grads
        to_queries = _room(queries, len(queries), len(keys))
        to_keys, to_values = torch.zeros_like(keys), torch.zeros_like(values)
        for part, run, logits, more in _chunks(queries, keys, 2, ctx.how.compiled):
            to_w = torch.mm(to_read[part], values.T, out=more)
            of_entropy = to_entropy[part, None] if ctx.how.statistics else None
            w, to_logits = run(_gradient)(logits, to_w, of_entropy, ctx.how)
            torch.mm(to_logits, keys, out=to_queries[part])
            to_keys.addmm_(to_logits.T, queries[part])
            to_values.addmm_(w.T, to_read[part])
        to_sharpness = torch.sum(keys * to_keys) / sharpness if ctx.needs_input_grad[2] else None
        to_keys.mul_(sharpness)
        if ctx.how.cosine:
            to_queries = _through_length(to_queries, queries, of_queries)
            to_keys = _through_length(to_keys, keys * (1 / sharpness), of_items)
        return to_queries, to_values.add_(to_keys), to_sharpness, None


def _through_length(to_unit: Tensor, unit: Tensor, length: Tensor) -> Tensor:
    """Gradient with respect to vectors, from the gradient with respect to their directions."""
    return to_unit.addcmul_(unit, torch.linalg.vecdot(unit, to_unit).unsqueeze(1), value=-1).div_(length)


def _room(like: Tensor, rows: int, items: int) -> Tensor:
    """An empty tensor `(rows, columns of like)` in the faster layout for this number of items."""
    columns = like.shape[1]
    return like.new_empty(columns, rows).T if items < FEW else like.new_empty(rows, columns)


def _chunks(
    queries: Tensor, keys: Tensor, buffers: int, compiled: bool
) -> Iterator[tuple[slice, Callable[..., Any], Tensor, Tensor]]:
    """Yields for each chunk its slice of queries, a wrapper for functions, its logits `(rows, N)`, and the last buffer.

    All chunks share the buffers. The wrapper compiles only for full chunks, since each size needs its own compilation.
    """
    rows, count, items = chunk_rows(len(keys), keys.device), len(queries), len(keys)
    shared = _buffers(keys, buffers, items * min(rows, count))
    for start in range(0, count, rows):
        part = slice(start, min(start + rows, count))
        size = part.stop - start
        views = [
            room[: items * size].view(items, size).T if items < FEW else room[: items * size].view(size, items)
            for room in shared
        ]
        torch.mm(queries[part], keys.T, out=views[0])
        yield part, _compiled if compiled and size == rows else _eager, views[0], views[-1]


_kept = threading.local()


def _buffers(like: Tensor, count: int, size: int) -> list[Tensor]:
    """Flat buffers with dtype and device of `like`; the thread reuses those that fit into the cache.

    New memory is mapped page by page, which on a virtual machine takes a tenth of the time of the matrix products.
    """
    if like.device.type != "cpu" or size > CACHED:
        return [like.new_empty(size) for _ in range(count)]
    kept: dict[torch.dtype, list[Tensor]] = _kept.__dict__.setdefault("buffers", {})
    rooms = kept.setdefault(like.dtype, [])
    if len(rooms) < count or len(rooms[0]) < size:
        with torch.inference_mode(False):
            rooms[:] = [torch.empty(size, dtype=like.dtype) for _ in range(max(count, len(rooms)))]
    return [room[:size] for room in rooms[:count]]


def _summary(logits: Tensor, room: Tensor, how: _How) -> tuple[Tensor, ...]:
    """Weights of a chunk before renormalisation, their sum `(rows, 1)`, and of each row empty, entropy, survivors."""
    w, total, peak, empty = _weights(logits, room, how)
    kept = w.sum(1, keepdim=True)
    kept = kept if how.strongest else kept + (kept == 0)
    if not how.statistics:
        return w, kept, empty, kept[:0, 0], kept[:0, 0]
    log_total = total.log() if peak is None else total.log() + peak
    mean = torch.linalg.vecdot(w, logits) / kept.squeeze(1)
    survivors = w.sign().sum(1)  # faster than counting a mask
    # log ŵ = s − log Σ exp − log kept
    entropy = ((log_total + kept.log()).squeeze(1) - mean).clamp_min(0) * (survivors > 0)
    return w, kept, empty, entropy, survivors.long()


def _gradient(logits: Tensor, to_w: Tensor, to_entropy: Tensor | None, how: _How) -> tuple[Tensor, Tensor]:
    """ŵ and ∂L/∂s of a chunk. Logits may replace log ŵ, since constants in a row of ∂L/∂ŵ cancel."""
    a = to_w if to_entropy is None else to_w.addcmul_(logits, to_entropy, value=-1)
    w, *_ = _weights(logits, logits, how)
    kept = w.sum(1, keepdim=True)
    w = w.div_(kept if how.strongest else kept + (kept == 0))
    return w, a.sub_(torch.linalg.vecdot(w, a).unsqueeze(1)).mul_(w)


def _weights(logits: Tensor, room: Tensor, how: _How) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
    """Softmax weights, 0 unless they exceed λ; written to `room`, which may be that of the logits.

    Returns:
        the weights; Σ exp(logits − peak) `(rows, 1)`; the peak `(rows, 1)`, the maximum logit, or None for 0 if
        `bounded`; and which rows are empty `(rows,)`.
    """
    by_mask = torch.compiler.is_compiling() or logits.device.type != "cpu"
    peak = None if how.bounded else logits.amax(1, keepdim=True)
    if by_mask:
        exp = (logits if peak is None else logits - peak).exp()
    else:  # in place: new memory is expensive
        exp = torch.exp(logits, out=room) if peak is None else torch.sub(logits, peak, out=room).exp_()
    total = exp.sum(1, keepdim=True)
    w = exp / total if by_mask else exp.div_(total)
    if by_mask:
        top = exp.amax(1, keepdim=True) / total  # fused with the sum
        empty = top <= how.threshold
        chosen = w > how.threshold
        chosen = chosen | (empty & (w == top)) if how.strongest else chosen
        return torch.where(chosen, w, 0.0), total, peak, empty.squeeze(1)
    top = w.amax(1)
    empty = top <= how.threshold
    alone = None
    if how.strongest and bool(empty.any()):
        alone = w[empty] * (w[empty] == top[empty, None])
    torch.threshold_(w, how.threshold, 0.0)  # a mask would take as long as the matrix product
    if alone is not None:
        w[empty] = alone
    return w, total, peak, empty


def _eager(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


@functools.cache
def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    return torch.compile(function, dynamic=False)
