"""The model: decoder ∘ memory ∘ encoder (Figure 2 of the paper)."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from memae.kept import KeptMemory
from memae.memory import Memory, Recall
from memae.patches import PatchMemory
from memae.pretext import Pretext, Views
from memae.randomness import BatchRandom


class Found(NamedTuple):
    """Output of the model for b samples with v views each; v = 1 without a pretext task."""

    x_hat: Tensor  # x̂, the shape of `Pretext.target`
    recall: Recall | None  # None without a memory
    codes: Tensor  # queries z: whole codes (v · b, c), or (v · b, c, *space) if each position is a query
    surprise: Tensor | None  # (b,) or (b, *space): how badly the pretext task is solved; None without a task
    fallback: Tensor  # (b,), bool: some query of the sample found no item above λ
    distance: Tensor | None = None  # this and the next two: of a memory of kept samples, see `Recall`
    isolation: Tensor | None = None
    nearest: Tensor | None = None


class MemAE(nn.Module):
    """Memory-augmented autoencoder; a plain autoencoder if `memory` is None or bypassed.

    Args:
        encoder: f_e, Eq. 1.
        memory: Eq. 3.
        decoder: f_d, Eq. 2.
        code_shape: `(c, *space)` of the encoder's output if the whole code is one query; None if each of its positions
            is a query.
        pretext: pretext task besides reconstruction; None for none, as in the paper.
    """

    def __init__(
        self,
        encoder: nn.Module,
        memory: Memory | KeptMemory | PatchMemory | None,
        decoder: nn.Module,
        code_shape: tuple[int, ...] | None = None,
        pretext: Pretext | None = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.memory = memory
        self.decoder = decoder
        self.code_shape = code_shape
        self.pretext = Pretext() if pretext is None else pretext
        self.bypass = False  # True in the warm-up, which trains encoder and decoder alone
        self._compiled: _Compiled | None = None

    @property
    def trained(self) -> bool:
        """Whether its weights are trained; otherwise its memory is kept samples or patches, and it has no network."""
        return not isinstance(self.memory, KeptMemory | PatchMemory)

    def forward(self, x: Tensor, random: BatchRandom | None = None, apart: Tensor | None = None) -> Found:
        """Reconstructs samples from the memory, Eq. 1 to 3: x → z → ẑ → x̂.

        Args:
            x: `(b, *shape)`.
            random: samples the views of a pretext task in training; None takes the deterministic views of scoring.
            apart: items that samples must not read; see `KeptMemory`, which alone takes it.
        """
        queries, decode = self._coders(x)
        views = self.pretext.views(x, random)
        z = queries(self.pretext.presented(views))
        recall: Recall | None = None
        if self.memory is not None and not self.bypass:
            recall = self.memory(z) if apart is None else self.memory(z, apart)
        read = z if recall is None else recall.read
        x_hat = self.pretext.restored(decode, read, x.shape[0], views)
        surprise, fallback = self.pretext.surprise(read, views), _fallback(recall, x_hat)
        kept = () if recall is None else (recall.distance, recall.isolation, recall.nearest)
        return Found(x_hat, recall, z, surprise, fallback, *kept)

    def encode(self, x: Tensor) -> Tensor:
        """Unchanged samples → queries z: `(b, c)`, or `(b, c, *space)` if each position is a query."""
        return self._queries(self.pretext.presented(Views(x)))

    def _queries(self, presented: Tensor) -> Tensor:
        z: Tensor = self.encoder(presented)
        return z if self.code_shape is None else z.flatten(1)

    def decode(self, z: Tensor) -> Tensor:
        """Codes or memory read-outs, the shape of z → samples, the shape of `Pretext.target`."""
        x_hat: Tensor = self.decoder(z if self.code_shape is None else z.reshape(-1, *self.code_shape))
        return x_hat

    def compile_batches(self, size: int) -> None:
        """Runs the model through `torch.compile` for training batches of `size` from now on; 0 ends it.

        Batches of other sizes, and evaluation, are not compiled: each would need its own compilation.
        """
        self._compiled = None
        if size:
            encode, decode = (torch.compile(each, dynamic=False) for each in (self._queries, self.decode))
            self._compiled = _Compiled(size, encode, decode)
        if isinstance(self.memory, Memory):
            self.memory.compiled = size > 0

    def _coders(self, batch: Tensor) -> tuple["Coder", "Coder"]:
        """Encoder and decoder for a batch of samples."""
        # An exported graph must not evaluate `len(batch)`: the number would fix its batch size.
        if self._compiled is not None and self.training and len(batch) == self._compiled.batch:
            return self._compiled.encode, self._compiled.decode
        return self._queries, self.decode


Coder = Callable[[Tensor], Tensor]


class _Compiled(NamedTuple):
    batch: int  # size of the batches that it takes
    encode: Coder
    decode: Coder


def _fallback(recall: Recall | None, x_hat: Tensor) -> Tensor:
    """Whether some query of a sample, in any of its views, found no item above λ: `(b,)`, bool."""
    if recall is None:
        return torch.zeros(x_hat.shape[:1], dtype=torch.bool, device=x_hat.device)
    # shape[0], since `len` would fix the batch size of an exported graph
    views_and_samples = recall.fallback.reshape(-1, x_hat.shape[0], *recall.fallback.shape[1:])
    return views_and_samples.movedim(1, 0).flatten(1).any(1)
