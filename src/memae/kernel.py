"""Reading a memory without the matrix of its weights: Eq. 3 to 7 and 9 in row chunks, backwards by recomputation.

For B queries and N items the weights are a B × N matrix, and automatic differentiation keeps several of them. Here a
chunk of rows that fits into the cache is addressed, read and forgotten; the backward pass addresses it again. What is
kept is the input.

Over the items that survive the shrinkage, Eq. 6 and the renormalisation are a softmax of the logits s, so that
∂L/∂s = ŵ (a − Σ ŵ a) with a = ∂L/∂ŵ, and the entropy of Eq. 9 adds −s ∂L/∂E to a: no logarithm, no ε.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

CACHED = 2**20
"""Weights a chunk on a CPU: 4 MiB in float32. Smaller ones stay in the cache of a core, but then every matrix product
packs the items anew for too few rows; larger ones cost memory and gain nothing."""

LARGE = 2**26
"""The same on a GPU, where a small chunk would leave it idle."""


class Answer(NamedTuple):
    """What B queries read, row by row."""

    read: Tensor  # (B, C), ŵ V
    entropy: Tensor  # (B,), nats
    survivors: Tensor  # (B,)
    empty: Tensor  # (B,), bool: no weight exceeded λ
    use: Tensor  # (N,), sum of ŵ over the queries


def attend(
    queries: Tensor, keys: Tensor, values: Tensor, threshold: float, *, strongest: bool = True, compiled: bool = False
) -> Answer:
    """Reads `values` by sparse softmax weights of `queries` · `keys`; differentiable once in all three.

    Args:
        queries: `(B, C)`, scaled so that their product with the keys is d(z, m) / τ of Eq. 4.
        keys: `(N, C)`.
        values: `(N, D)`.
        threshold: λ; weights that do not exceed it become 0, the others are scaled to sum 1.
        strongest: whether a row in which none exceeds λ keeps its largest weight, or reads 0.
        compiled: whether whole chunks run through `torch.compile`, which takes seconds once for a size.
    """
    how = threshold, strongest, compiled
    return Answer(*_Attend.apply(queries, keys, values, *how))  # type: ignore[no-untyped-call]


def chunk_rows(items: int, device: torch.device) -> int:
    """Rows that are addressed at once."""
    return max((CACHED if device.type == "cpu" else LARGE) // items, 32)


class _Attend(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, queries: Tensor, keys: Tensor, values: Tensor, *how: Any) -> tuple[Tensor, ...]:
        ctx.save_for_backward(queries, keys, values)
        ctx.how = threshold, strongest, compiled = how
        rows, count = chunk_rows(len(keys), keys.device), len(queries)
        read = values.new_empty(count, values.shape[1])
        entropy, survivors = queries.new_empty(count), torch.empty(count, dtype=torch.long, device=queries.device)
        empty, use = torch.empty_like(survivors, dtype=torch.bool), queries.new_zeros(len(keys))
        for start in range(0, count, rows):
            part = slice(start, start + rows)
            chunk = queries[part]
            run = _runner(_read, compiled and len(chunk) == rows)
            read[part], entropy[part], survivors[part], empty[part], used = run(
                chunk, keys, values, threshold, strongest
            )
            use += used
        ctx.mark_non_differentiable(survivors, empty, use)
        return read, entropy, survivors, empty, use

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        queries, keys, values = ctx.saved_tensors
        threshold, strongest, compiled = ctx.how
        to_read, to_entropy = grads[0], grads[1]
        rows = chunk_rows(len(keys), keys.device)
        to_queries = torch.empty_like(queries)
        to_keys, to_values = torch.zeros_like(keys), torch.zeros_like(values)
        for start in range(0, len(queries), rows):
            part = slice(start, start + rows)
            chunk = queries[part]
            run = _runner(_logit_gradient, compiled and len(chunk) == rows)
            to_logits, w = run(chunk, keys, values, to_read[part], to_entropy[part], threshold, strongest)
            torch.mm(to_logits, keys, out=to_queries[part])
            to_keys.addmm_(to_logits.T, chunk)
            to_values.addmm_(w.T, to_read[part])
        return to_queries, to_keys, to_values, None, None, None


def _survivors(logits: Tensor, threshold: float, strongest: bool) -> tuple[Tensor, Tensor]:
    """Softmax weights that exceed λ, the others 0, not yet renormalised; and the largest of each row."""
    w = logits.softmax(1)
    top = w.amax(1, keepdim=True)
    if logits.device.type == "cpu" and not torch.compiler.is_compiling():
        # Eager on a CPU a mask costs as much as the matrix product; a threshold in place, a tenth of it.
        w = nn.functional.threshold(w, threshold, 0.0, inplace=True)
        rows = (top <= threshold).squeeze(1).nonzero().squeeze(1)
        if strongest and len(rows):
            again = logits[rows].softmax(1)
            w[rows] = again * (again == again.amax(1, keepdim=True))
        return w, top
    kept = w > threshold
    if strongest:
        kept = kept | ((top <= threshold) & (w == top))
    return torch.where(kept, w, 0.0), top


def _read(queries: Tensor, keys: Tensor, values: Tensor, threshold: float, strongest: bool) -> tuple[Tensor, ...]:
    logits = queries @ keys.T
    w, top = _survivors(logits, threshold, strongest)
    total = w.sum(1, keepdim=True)
    share = 1 / torch.where(total > 0, total, 1.0)
    # log ŵ = s − log Σ exp(s) − log total, and the largest weight tells log Σ exp(s)
    mean = torch.linalg.vecdot(w, logits).unsqueeze(1) * share
    entropy = (logits.amax(1, keepdim=True) - top.log() - share.log() - mean).clamp_min(0) * (total > 0)
    survivors = w.sign().sum(1).long()  # quicker than to count a mask
    return (w @ values).mul_(share), entropy.squeeze(1), survivors, top.squeeze(1) <= threshold, share.squeeze(1) @ w


def _logit_gradient(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    to_read: Tensor,
    to_entropy: Tensor,
    threshold: float,
    strongest: bool,
) -> tuple[Tensor, Tensor]:
    """∂L/∂s and ŵ of a chunk, addressed again."""
    logits = queries @ keys.T
    w, _ = _survivors(logits, threshold, strongest)
    total = w.sum(1, keepdim=True)
    w = w.div_(torch.where(total > 0, total, 1.0))
    a = logits.mul_(-to_entropy.unsqueeze(1)).addmm_(to_read, values.T)
    return a.sub_(torch.linalg.vecdot(w, a).unsqueeze(1)).mul_(w), w


@functools.cache
def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    return torch.compile(function, dynamic=False)


def _runner(function: Callable[..., Any], compiled: bool) -> Callable[..., Any]:
    return _compiled(function) if compiled else function
