"""The model: decoder ∘ memory ∘ encoder (Figure 2 of the paper), built from a small frozen description."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from memae.memory import Memory, Recall
from memae.networks import convolutional, orientation, tabular
from memae.networks.hiding import Hiding, shown
from memae.networks.pace import Pace, placed, stacked
from memae.parameters import OnEmpty, Similarity


@dataclass(frozen=True)
class MemorySpec:
    """A memory, as data; the arguments are those of `Memory`."""

    items: int
    similarity: Similarity = "cosine"
    temperature: float = 1.0
    learn_temperature: bool = False
    shrinkage: float = 1.0
    on_empty: OnEmpty = "strongest"
    per_position: bool = False  # an item holds the feature of one position instead of the whole code


@dataclass(frozen=True)
class Spec:
    """All that is needed to build a model again, as data.

    Args:
        shape: of one sample: `(features,)`, `(c, h, w)` or `(c, t, h, w)`.
        widths: output size of the encoder's layers; the last is that of the code.
        strides: of the convolutions, one tuple a layer; empty for tables.
        memory: None for a plain autoencoder.
        turns: in how many ways images are turned, to tell from the memory's answer how; 0 for not at all.
        columns: of tables whose columns are hidden and restored from the others: number of features of each; empty for
            no hiding.
        paces: of clips whose frames are the channels of one picture, how many times as fast they are played, to be told
            from the memory's answer; the first is 1. Empty for clips that are convolved in time (the paper).
    """

    shape: tuple[int, ...]
    widths: tuple[int, ...]
    strides: tuple[tuple[int, ...], ...] = ()
    memory: MemorySpec | None = None
    turns: int = 0
    columns: tuple[int, ...] = ()
    paces: tuple[int, ...] = ()


class Reconstruction(NamedTuple):
    """What the model makes of samples, of which it sees t views: turned, or with other columns hidden; else t = 1."""

    x_hat: Tensor  # the shape of `MemAE.target`
    recall: Recall | None  # None without a memory
    query: Tensor  # (t · b, c): whole codes; of clips (t · b, c, h, w)
    surprise: Tensor | None = None  # (b,), nats, how badly turns or paces are told; of clips (b, h, w), see `Pace.odds`

    @property
    def fallback(self) -> Tensor:
        """Whether some query of a sample found no item above λ: `(b,)`, bool."""
        if self.recall is None:
            return torch.zeros(self.x_hat.shape[:1], dtype=torch.bool, device=self.x_hat.device)
        # by its shape: `len` is a number, which would fix the batch of an exported graph
        views_and_samples = self.recall.fallback.reshape(-1, self.x_hat.shape[0], *self.recall.fallback.shape[1:])
        return views_and_samples.movedim(1, 0).flatten(1).any(1)


Coder = Callable[[Tensor], Tensor]


class MemAE(nn.Module):
    """Memory-augmented autoencoder; a plain one where `memory` is None or bypassed.

    Args:
        encoder: f_e, Eq. 1.
        memory: what stands between, Eq. 3.
        decoder: f_d, Eq. 2.
        code_shape: `(c, *space)` of the encoder's output where the code is one query as a whole; None where each
            of its positions is a query.
        compass: tells from what was read how a sample was turned; see `networks.orientation`.
        hiding: which columns of a row are hidden together; see `networks.hiding`.
        pace: tells from what was read how fast a clip was played; see `networks.pace`.
    """

    def __init__(
        self,
        encoder: nn.Module,
        memory: Memory | None,
        decoder: nn.Module,
        code_shape: tuple[int, ...] | None = None,
        compass: nn.Linear | None = None,
        hiding: Hiding | None = None,
        pace: Pace | None = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.memory = memory
        self.decoder = decoder
        self.code_shape = code_shape
        self.compass = compass
        self.hiding = hiding
        self.pace = pace
        self.bypass = False  # a warm-up trains encoder and decoder alone
        self._compiled: tuple[int, Coder, Coder] | None = None

    @property
    def turns(self) -> int:
        """In how many ways samples are turned; 1 for upright alone."""
        return 1 if self.compass is None else self.compass.out_features

    def encode(self, x: Tensor, hidden: Tensor | None = None) -> Tensor:
        """Samples → queries z: `(b, c)`, or `(b, c, *space)` where each position is one.

        Args:
            x: `(b, *shape)`.
            hidden: which features of rows the encoder does not see `(b, d)`, where columns are hidden; None for none.
        """
        if self.hiding is not None:
            x = shown(x, torch.zeros_like(x, dtype=torch.bool) if hidden is None else hidden)
        elif self.pace is not None:
            x = placed(stacked(x))
        z: Tensor = self.encoder(x)
        return z if self.code_shape is None else z.flatten(1)

    def decode(self, z: Tensor) -> Tensor:
        """Codes, or what the memory answered to them, the shape of z → samples."""
        x_hat: Tensor = self.decoder(z if self.code_shape is None else z.reshape(-1, *self.code_shape))
        return x_hat

    def target(self, x: Tensor) -> Tensor:
        """What x̂ is the reconstruction of: the samples, or of clips their frames and motion."""
        return x if self.pace is None else stacked(self.pace.normal(x))

    def views(self, x: Tensor) -> Tensor:
        """Samples in every view that is learned: turned, or at two paces, as they are first."""
        if self.pace is not None and x.shape[2] > self.pace.length:
            return self.pace.views(x, self.pace.every(len(x)))
        return orientation.turned(x, self.turns)

    def compile_batches(self, size: int) -> None:
        """Runs the model through `torch.compile` for training batches of `size` from now on; 0 ends it.

        Other batches, and encoder and decoder in evaluation, stay as they are: each would be compiled for itself.
        """
        self._compiled = None
        if size:
            encode, decode = (torch.compile(each, dynamic=False) for each in (self.encode, self.decode))
            self._compiled = size, encode, decode
        if self.memory is not None:
            self.memory.compiled = size > 0

    def forward(self, x: Tensor, hidden: Tensor | None = None) -> Reconstruction:
        """Reconstructs samples `(b, *shape)` from what the memory holds; those turned are only told apart.

        Args:
            x: samples.
            hidden: see `encode`; None hides each column in turn, and what is reconstructed are the hidden ones.
                For films longer than a clip: at which other pace each is played too, see `Pace.views`.
        """
        if self.pace is not None:
            return self._of_clips(self.pace, x, hidden)
        coders: tuple[Coder, Coder] = self.encode, self.decode
        if self._compiled is not None and self.training and len(x) == self._compiled[0]:
            coders = self._compiled[1:]
        encode, decode = coders
        if self.hiding is None:
            z = encode(orientation.turned(x, self.turns))
        else:
            z = self.encode(*(self.hiding.every(x) if hidden is None else (x, hidden)))
        recall: Recall | None = None if self.memory is None or self.bypass else self.memory(z)
        read = z if recall is None else recall.read
        x_hat = decode(read if self.compass is None else read[: x.shape[0]])
        if self.hiding is not None and hidden is None:
            x_hat = self.hiding.restored(x_hat)
        if self.compass is None:
            return Reconstruction(x_hat, recall, z.flatten(1))
        surprise = orientation.surprise(self.compass(read.flatten(1)), self.turns)
        return Reconstruction(x_hat, recall, z.flatten(1), surprise)

    def _of_clips(self, pace: Pace, x: Tensor, others: Tensor | None) -> Reconstruction:
        """Clips, and the odds of their pace; of films, how badly the paces of two clips each are told."""
        films = x.shape[2] > pace.length
        others = pace.every(x.shape[0]) if others is None else others
        views = pace.views(x, others) if films else x
        z = self.encode(views)
        recall: Recall | None = None if self.memory is None or self.bypass else self.memory(z)
        read = z if recall is None else recall.read
        surprise = pace.mistold(read, views, others) if films else pace.odds(read) if len(pace.paces) > 1 else None
        return Reconstruction(self.decode(read[: x.shape[0]]), recall, z, surprise)


def build(spec: Spec) -> MemAE:
    """The model that `spec` describes, with fresh weights from torch's default random generator.

    Raises:
        OptionError: sizes, widths and strides do not fit together.
        ShrinkageError: see `Memory`.

    Example:
        >>> mnist = Spec((1, 28, 28), *convolutional.MNIST, memory=MemorySpec(100))
        >>> build(mnist)(torch.zeros(2, 1, 28, 28)).x_hat.shape
        torch.Size([2, 1, 28, 28])
    """
    channels, *space = spec.shape
    layout = convolutional.Layout(spec.widths, spec.strides)
    if spec.paces:
        encoder = convolutional.encoder(channels * (2 * space[0] - 1) + 2, space[1:], layout)
        decoder = convolutional.decoder(channels * (2 * space[0] - 1), space[1:], layout)
    elif space:
        encoder = convolutional.encoder(channels, space, layout)
        decoder = convolutional.decoder(channels, space, layout)
    else:
        encoder = tabular.encoder(channels * (2 if spec.columns else 1), spec.widths)
        decoder = tabular.decoder(channels, spec.widths)
    code = code_shape(spec)
    compass = orientation.compass(math.prod(code), spec.turns) if spec.turns else None
    hiding = Hiding(spec.columns) if spec.columns else None
    pace = Pace(code[0], (code[1], code[2]), spec.paces, space[0]) if spec.paces else None
    wanted = spec.memory
    memory = None
    if wanted is not None:
        memory = Memory(
            wanted.items,
            code[0] if wanted.per_position else math.prod(code),
            similarity=wanted.similarity,
            temperature=wanted.temperature,
            learn_temperature=wanted.learn_temperature,
            shrinkage=wanted.shrinkage,
            on_empty=wanted.on_empty,
        )
    positions = wanted.per_position if wanted is not None else bool(spec.paces)
    model = MemAE(encoder, memory, decoder, None if positions else code, compass, hiding, pace)
    return _laid_out(model, len(code) - 1)


def _laid_out(model: MemAE, dimensions: int) -> MemAE:
    """The model with its weights channel by channel, in which convolutions on a CPU are up to 1.4 times faster."""
    layouts = {2: torch.channels_last, 3: torch.channels_last_3d}
    return model.to(memory_format=layouts[dimensions]) if dimensions else model  # type: ignore[call-overload]


def code_shape(spec: Spec) -> tuple[int, ...]:
    """Shape `(c, *space)` of the encoder's output for one sample."""
    space = spec.shape[2 if spec.paces else 1 :]
    return (spec.widths[-1], *(convolutional.sizes(space, spec.strides)[-1] if space else ()))
