"""The memory of normal prototypes: content addressing, sparse by hard shrinkage (section 3.3 of the paper).

`address`, `shrink` and `entropy` are the equations as they are read, with the whole matrix of weights. `Memory`
computes the same by `kernel.attend`, in chunks; exported graphs take the plain form. All work on `(b, c, *space)` with
any number of space dimensions: a code of one vector has none, a feature map of a clip has three and reads the memory
once a position.

References:
    Gong et al., Memorizing Normality to Detect Anomaly: Memory-augmented Deep Autoencoder for Unsupervised
    Anomaly Detection, ICCV 2019, https://arxiv.org/abs/1904.02639
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from memae.errors import OptionError, ShrinkageError
from memae.kernel import BOUND, attend
from memae.parameters import OnEmpty, Similarity


class Shrunk(NamedTuple):
    """Addressing weights after hard shrinkage."""

    weights: Tensor  # ŵ, same shape as w; sums to 1 over the items, or to 0 in an empty row
    empty: Tensor  # bool, shape of w without the item dimension: no weight exceeded λ


class Recall(NamedTuple):
    """The memory read-out of codes, and statistics of the reading.

    The last three fields are for training only. In evaluation mode they have shape (0,), which saves a quarter of the
    time.
    """

    read: Tensor  # ẑ, same shape as z
    fallback: Tensor  # (b, *space), bool: no weight exceeded λ
    entropy: Tensor  # (b, *space), nats, of ŵ; Eq. 9
    survivors: Tensor  # (b, *space), items read by each query
    use: Tensor  # (n,), sum of ŵ over all queries
    distance: Tensor | None = None  # (b, k), of a query to the items that it reads; this and the next two: kept items
    isolation: Tensor | None = None  # (b, k), mean distance of these items to their own nearest
    nearest: Tensor | None = None  # (b, k, d): these items


def unit(vectors: Tensor, dim: int = -1) -> Tensor:
    """Vectors along `dim` scaled to length 1; a zero vector stays zero and gets a finite gradient."""
    norm = torch.linalg.vector_norm(vectors, dim=dim, keepdim=True)
    scaled: Tensor = vectors / (norm + (norm == 0))
    return scaled


def address(
    z: Tensor, items: Tensor, *, similarity: Similarity = "cosine", temperature: float | Tensor = 1.0
) -> Tensor:
    """Soft addressing weights w of the items for each code; Eq. 4 and 5.

    w_i = exp(d(z, m_i) / τ) / Σ_j exp(d(z, m_j) / τ), with d the cosine similarity (the paper) or the dot product
    (the authors' code). Half and bfloat16 input is computed in float32.

    Args:
        z: codes `(b, c, *space)`.
        items: the memory M `(n, c)`.
        similarity: d.
        temperature: τ > 0; the paper has no temperature, that is τ = 1 (NOTE[DIFF] temperature).

    Returns:
        w `(b, n, *space)`, non-negative, summing to 1 over the items.

    Example:
        >>> address(torch.tensor([[3.0, 0.0]]), torch.eye(2)).round(decimals=3)
        tensor([[0.7310, 0.2690]])
    """
    exact = torch.promote_types(torch.promote_types(z.dtype, items.dtype), torch.float32)
    rows, items = z.movedim(1, -1).to(exact), items.to(exact)
    if similarity == "cosine":
        rows, items = unit(rows), unit(items)
    return (rows @ items.T / temperature).softmax(-1).movedim(-1, 1)


def shrink(w: Tensor, threshold: float | Tensor, *, on_empty: OnEmpty = "strongest") -> Shrunk:
    """Hard shrinkage of addressing weights and renormalisation to sum 1; Eq. 6.

    A mask computes Eq. 6 exactly. The paper approximates it by Eq. 7, whose ε causes a huge gradient just above λ and
    NaN at w = λ in half precision (NOTE[DIFF] mask).

    Args:
        w: addressing weights `(b, n, *space)`.
        threshold: λ; weights that do not exceed it become 0.
        on_empty: treatment of a row in which no weight exceeds λ. "strongest" keeps its largest weight (all of them in
            a tie); "zero" leaves the row empty, as in Eq. 6: ẑ = 0, without gradient (NOTE[DIFF] empty-row).

    Example:
        >>> shrink(torch.tensor([[0.5, 0.3, 0.2]]), 0.25).weights
        tensor([[0.6250, 0.3750, 0.0000]])
    """
    kept = w > threshold
    empty = ~kept.any(1, keepdim=True)
    if on_empty == "strongest":
        kept = kept | (empty & (w == w.amax(1, keepdim=True)))
    w = w * kept
    total = w.sum(1, keepdim=True)
    return Shrunk(w / torch.where(total > 0, total, 1.0), empty.squeeze(1))


def entropy(w: Tensor) -> Tensor:
    """Entropy in nats over the items of addressing weights `(b, n, *space)` → `(b, *space)`; Eq. 9.

    The argument of the logarithm is clamped, so that w = 0 contributes 0 and has a finite gradient. The upper limit T
    of the sum in the paper is read as N (NOTE[DIFF] entropy-limit).

    Example:
        >>> entropy(torch.tensor([[0.5, 0.5, 0.0]]))
        tensor([0.6931])
    """
    return -(w * w.clamp_min(torch.finfo(w.dtype).tiny).log()).sum(1)


def largest_weight(n: int, similarity: Similarity, temperature: float) -> float:
    """Upper bound of addressing weights over all codes and items.

    A cosine lies in [−1, 1], so w ≤ 1 / (1 + (N − 1) exp(−2 / τ)). For the dot product the bound is 1.
    """
    return 1 / (1 + (n - 1) * math.exp(-2 / temperature)) if similarity == "cosine" else 1.0


class Memory(nn.Module):
    """N items of C channels, which codes address sparsely: z → w → ŵ → ẑ = ŵM; Eq. 3 to 6.

    Args:
        n: number of items N.
        channels: size C of items and codes.
        similarity: "cosine" as in the paper or "dot" as in the authors' code.
        temperature: τ, divides the similarity before the softmax.
        learn_temperature: whether τ is trained (as its logarithm).
        shrinkage: λ·N, which makes values comparable across N; the paper recommends 1 to 3, 0 switches it off.
        on_empty: see `shrink`.

    Raises:
        OptionError: an argument is out of range.
        ShrinkageError: no weight can exceed λ, so every row would be empty.

    Example:
        >>> memory = Memory(50, 3)
        >>> recall = memory(torch.randn(8, 3))
        >>> recall.read.shape, recall.fallback.sum().item()
        (torch.Size([8, 3]), 0)
    """

    use: Tensor

    def __init__(
        self,
        n: int,
        channels: int,
        *,
        similarity: Similarity = "cosine",
        temperature: float = 1.0,
        learn_temperature: bool = False,
        shrinkage: float = 1.0,
        on_empty: OnEmpty = "strongest",
    ) -> None:
        super().__init__()
        _check(n, similarity, temperature, shrinkage, on_empty)
        self.similarity: Similarity = similarity
        self.threshold = shrinkage / n
        self.on_empty: OnEmpty = on_empty
        self.compiled = False  # see MemAE.compile_batches
        self.items = nn.Parameter(uniform_items(n, channels))
        self.log_temperature = nn.Parameter(torch.tensor(math.log(temperature)), requires_grad=learn_temperature)
        self.register_buffer("use", torch.zeros(n))  # share of each item in the last epoch's reads

    def weights(self, z: Tensor) -> Shrunk:
        """The sparse addressing weights ŵ `(b, n, *space)` for codes z `(b, c, *space)`."""
        w = address(z, self.items, similarity=self.similarity, temperature=self.log_temperature.exp())
        threshold: float | Tensor = self.threshold
        if torch.compiler.is_exporting():  # a Python number would be rounded to float32, and a weight of λ exceed it
            threshold = torch.tensor(threshold, dtype=w.dtype)
        return shrink(w, threshold, on_empty=self.on_empty)

    def forward(self, z: Tensor) -> Recall:
        """Reads the memory with codes z `(b, c, *space)`."""
        if torch.compiler.is_exporting():  # other engines support only standard operators
            return self._plain(z)
        exact = torch.promote_types(torch.promote_types(z.dtype, self.items.dtype), torch.float32)
        queries = z.movedim(1, 0).to(exact)  # (c, b, *space)
        queried = queries.shape[1:]
        cosine = self.similarity == "cosine"
        attended = attend(
            queries.reshape(len(queries), -1).T,
            self.items.to(exact),
            self.log_temperature.neg().exp().to(exact),
            self.threshold,
            cosine=cosine,
            strongest=self.on_empty == "strongest",
            # on a GPU, reading τ would force a synchronisation, and the bound saves nothing there
            bounded=cosine and z.is_cpu and self.log_temperature.item() >= -math.log(BOUND),
            statistics=self.training,
            compiled=self.compiled,
        )
        read = attended.read.T.reshape(-1, *queried).movedim(0, 1).to(z.dtype)
        shape = queried if self.training else (0,)  # of the statistics
        return Recall(
            read,
            attended.empty.view(queried),
            attended.entropy.view(shape),
            attended.survivors.view(shape),
            attended.use,
        )

    def about(self) -> dict[str, float]:
        """Facts for users, JSON-ready."""
        return {"temperature": float(self.log_temperature.exp())}

    def _plain(self, z: Tensor) -> Recall:
        """`forward` by the functions above, with the whole matrix of weights."""
        w, empty = self.weights(z)
        read = (w.movedim(1, -1) @ self.items.to(w.dtype)).movedim(-1, 1).to(z.dtype)
        return Recall(read, empty, entropy(w), (w > 0).sum(1), w.sum([0, *range(2, w.ndim)]))


def _check(n: int, similarity: str, temperature: float, shrinkage: float, on_empty: str) -> None:
    if n < 1:
        raise OptionError(f"the number of memory items must be 1 or more; got {n}")
    if similarity not in ("cosine", "dot"):
        raise OptionError(f"similarity must be 'cosine' or 'dot'; got {similarity!r}")
    if not 0 < temperature < math.inf:
        raise OptionError(f"temperature must be a number above 0; got {temperature}")
    if on_empty not in ("strongest", "zero"):
        raise OptionError(f"on_empty must be 'strongest' or 'zero'; got {on_empty!r}")
    if not 0 <= shrinkage < math.inf:
        raise OptionError(f"shrinkage must be 0 or more, a multiple of 1/N; got {shrinkage}")
    bound = largest_weight(n, similarity, temperature)  # type: ignore[arg-type]
    if shrinkage / n >= bound:
        raise ShrinkageError(
            f"shrinkage {shrinkage:g} sets λ = {shrinkage / n:.4g}, but with {n} items, {similarity} similarity and "
            f"temperature {temperature:g} no addressing weight can exceed {bound:.4g}: every row would be empty. "
            f"Use a shrinkage below {bound * n:.4g}, or a lower temperature."
        )


def uniform_items(n: int, channels: int, generator: torch.Generator | None = None) -> Tensor:
    """Items `(n, channels)` sampled uniformly from ±1/√C, the initialisation of the authors' code."""
    return (torch.rand(n, channels, generator=generator) * 2 - 1) / math.sqrt(channels)


def sampled_items(codes: Tensor, n: int, generator: torch.Generator | None = None) -> Tensor:
    """Items `(n, c)` sampled from encodings `(m, c)` of training samples.

    If m < n, encodings are reused with noise of 1 % of their standard deviation.
    """
    rounds = [torch.randperm(len(codes), generator=generator) for _ in range(-(-n // len(codes)))]
    items = codes[torch.cat(rounds)[:n]].clone()
    if n > len(codes):
        spread = codes.std(0, correction=0).clamp_min(1e-3)
        items[len(codes) :] += 0.01 * spread * torch.randn(n - len(codes), codes.shape[1], generator=generator)
    return items


def kmeans_items(codes: Tensor, n: int, generator: torch.Generator | None = None, rounds: int = 20) -> Tensor:
    """Items `(n, c)`: centres of k-means (Lloyd) on encodings `(m, c)`.

    It starts from sampled encodings; a centre without members moves to a random encoding.
    """
    items = sampled_items(codes, n, generator)
    for _ in range(rounds):
        nearest = torch.cat([torch.cdist(part, items).argmin(1) for part in torch.split(codes, 8192)])
        count = torch.bincount(nearest, minlength=n)
        total = torch.zeros_like(items).index_add_(0, nearest, codes)
        fresh = codes[torch.randint(len(codes), (n,), generator=generator)]
        moved = torch.where(count[:, None] > 0, total / count.clamp_min(1)[:, None], fresh)
        if torch.equal(moved, items):
            break
        items = moved
    return items
