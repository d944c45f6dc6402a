"""Reading a memory without the matrix of its weights: Eq. 3 to 7 and 9 in row chunks, backwards by recomputation.

For B queries and N items the weights are a B × N matrix, and automatic differentiation keeps several of them. Here a
chunk of queries that fits into the cache is addressed, read and forgotten; the backward pass addresses it again. What
is kept is the input.

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
"""Weights a chunk on a CPU: 2 MiB in float32. Smaller chunks feed the matrix product too few rows, larger ones leave
the cache between one pass over the weights and the next."""

LARGE = 2**26
"""The same on a GPU, where a small chunk would leave it idle."""

FEW = 256
"""Items below which weights lie item by item in memory, not query by query: sums over so few would be short loops."""


BOUND = 80.0
"""Exponentials up to here, and sums of millions of them, are far from the limits of float32."""


class Answer(NamedTuple):
    """What B queries read, row by row."""

    read: Tensor  # (B, D), ŵ V
    empty: Tensor  # (B,), bool: no weight exceeded λ
    entropy: Tensor  # (B,), nats; this and what follows is empty (0,) without statistics
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
        items: `(N, C)`, keys and values at once.
        sharpness: 1 / τ, of no dimension.
        threshold: λ; weights that do not exceed it become 0, the others are scaled to sum 1.
        cosine: whether d of Eq. 4 is the cosine similarity (Eq. 5), or the dot product.
        strongest: whether a row in which none exceeds λ keeps its largest weight, or reads 0.
        bounded: whether no d / τ exceeds ±`BOUND`, so that their exponentials can be summed as they are.
        statistics: whether entropy, survivors and use are wanted; they cost a quarter of the time.
        compiled: whether whole chunks run through `torch.compile`, which takes seconds once for a size.
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
    """Queries that address the memory at once."""
    rows = (CACHED if device.type == "cpu" else LARGE) // items
    return max(rows // 64, 1) * 64  # other numbers cost the matrix product a tenth


def _normalised(queries: Tensor, items: Tensor, sharpness: Tensor, how: _How) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Queries and keys whose product is d / τ, and the lengths they had; a zero vector stays zero."""
    if not how.cosine:
        return queries, items * sharpness, sharpness, sharpness  # the lengths are never asked for
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
    """Gradient of vectors from that of their directions."""
    return to_unit.addcmul_(unit, torch.linalg.vecdot(unit, to_unit).unsqueeze(1), value=-1).div_(length)


def _room(like: Tensor, rows: int, items: int) -> Tensor:
    """Room for `(rows, columns of like)`, in the layout that suits so many items."""
    columns = like.shape[1]
    return like.new_empty(columns, rows).T if items < FEW else like.new_empty(rows, columns)


def _chunks(
    queries: Tensor, keys: Tensor, buffers: int, compiled: bool
) -> Iterator[tuple[slice, Callable[..., Any], Tensor, Tensor]]:
    """Which queries, how to run a function on them, their logits `(rows, N)`, and the last buffer of that shape.

    All chunks share the buffers. Only whole chunks run compiled, for each size would be compiled for itself.
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
    """Flat buffers of the type and device of `like`, which this thread keeps if they are small enough for the cache.

    Fresh memory comes page by page, on a virtual machine at the cost of a tenth of the matrix products.
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
    """Weights of a chunk, not yet renormalised, and their sum `(rows, 1)`; which rows are empty; entropy, survivors."""
    w, total, peak, empty = _weights(logits, room, how)
    kept = w.sum(1, keepdim=True)
    kept = kept if how.strongest else kept + (kept == 0)
    if not how.statistics:
        return w, kept, empty, kept[:0, 0], kept[:0, 0]
    log_total = total.log() if peak is None else total.log() + peak
    mean = torch.linalg.vecdot(w, logits) / kept.squeeze(1)
    survivors = w.sign().sum(1)  # quicker than to count a mask
    # log ŵ = s − log Σ exp − log kept
    entropy = ((log_total + kept.log()).squeeze(1) - mean).clamp_min(0) * (survivors > 0)
    return w, kept, empty, entropy, survivors.long()


def _gradient(logits: Tensor, to_w: Tensor, to_entropy: Tensor | None, how: _How) -> tuple[Tensor, Tensor]:
    """ŵ and ∂L/∂s of a chunk; what is constant in a row of ∂L/∂ŵ falls out, and so the logits stand for log ŵ."""
    a = to_w if to_entropy is None else to_w.addcmul_(logits, to_entropy, value=-1)
    w, *_ = _weights(logits, logits, how)
    kept = w.sum(1, keepdim=True)
    w = w.div_(kept if how.strongest else kept + (kept == 0))
    return w, a.sub_(torch.linalg.vecdot(w, a).unsqueeze(1)).mul_(w)


def _weights(logits: Tensor, room: Tensor, how: _How) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
    """Softmax weights that exceed λ, the others as 0, in `room`, which may be that of the logits.

    Gives them, Σ exp over the peak and the peak, if one was needed, `(rows, 1)`, and which rows are empty `(rows,)`.
    """
    by_mask = torch.compiler.is_compiling() or logits.device.type != "cpu"
    peak = None if how.bounded else logits.amax(1, keepdim=True)
    if by_mask:
        exp = (logits if peak is None else logits - peak).exp()
    else:  # in place: fresh memory is dear
        exp = torch.exp(logits, out=room) if peak is None else torch.sub(logits, peak, out=room).exp_()
    total = exp.sum(1, keepdim=True)
    w = exp / total if by_mask else exp.div_(total)
    if by_mask:
        top = exp.amax(1, keepdim=True) / total  # in one pass with the sum
        empty = top <= how.threshold
        chosen = w > how.threshold
        chosen = chosen | (empty & (w == top)) if how.strongest else chosen
        return torch.where(chosen, w, 0.0), total, peak, empty.squeeze(1)
    top = w.amax(1)
    empty = top <= how.threshold
    alone = None
    if how.strongest and bool(empty.any()):
        alone = w[empty] * (w[empty] == top[empty, None])
    torch.threshold_(w, how.threshold, 0.0)  # a mask would cost as much as the matrix product
    if alone is not None:
        w[empty] = alone
    return w, total, peak, empty


def _eager(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


@functools.cache
def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    return torch.compile(function, dynamic=False)
