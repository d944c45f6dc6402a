"""Clips as pictures of motion, and how well their playback speed is predicted from the memory read-out.

Who knows normal motion knows its speed; what moves otherwise is taken for a clip that was played faster, or not known
(Georgescu et al., Anomaly Detection in Video via Self-Supervised and Multi-Task Learning, CVPR 2021, for detected
objects; here for each position of a frame). Not in the MemAE paper.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from memae.pretext import Pretext, PretextSpec, Views

SHARPER = 4.0
"""Differences of neighbouring frames are small beside the frames themselves."""
GROUND = 0.02
"""What a position counts without motion, where the mean position counts 1: nothing there shows a speed."""
SMALL = 1e-3
"""Nats of surprise below which there is little to learn."""


@dataclass(frozen=True)
class SpeedSpec(PretextSpec):
    """The frames of a clip, and what changes between them, are the channels of one picture; its speed is predicted.

    Args:
        speeds: how many times as fast clips are played; the first is 1, as filmed. With 1 alone nothing is predicted.
    """

    speeds: tuple[int, ...]

    @property
    def by_position(self) -> bool:
        """At each position."""
        return True

    def presented(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Frames, motion, and the row and column of each pixel: `(c, t, h, w)` → `(c · (2t − 1) + 2, h, w)`."""
        channels, *space = self.target(shape)
        return (channels + 2, *space)

    def target(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Frames and motion: `(c, t, h, w)` → `(c · (2t − 1), h, w)`."""
        channels, length, *space = shape
        return (channels * (2 * length - 1), *space)

    def build(self, code: tuple[int, ...], shape: tuple[int, ...]) -> Pretext:
        """The task with a fresh speed head."""
        return Speeds(code[0], self.speeds, shape[1])

    def check(self, shape: tuple[int, ...]) -> None:
        """Refuses what is no clip, and clips of one frame or one row."""
        if len(shape) != 4 or min(shape[1:]) < 2:
            raise ValueError("only clips have speeds")


class Speeds(Pretext):
    """Shows clips as filmed and at another speed, restores those as filmed, and predicts the speed at each position.

    In training the clips are cut from longer ones, here called films, from the middle of which a clip of every speed
    can be taken; see `span`.

    Args:
        features: of a position of the code.
        speeds: the first is 1, as filmed; −1 is backwards.
        length: frames of a clip.
    """

    def __init__(self, features: int, speeds: Sequence[int], length: int) -> None:
        super().__init__()
        self.speeds = tuple(speeds)
        self.length = length
        self.head = nn.Conv2d(features, len(speeds), 1)

    def views(self, x: Tensor, random: torch.Generator | None = None) -> Views:
        """Clips as they are; of films `(b, c, span, h, w)` the clips as filmed and then at another speed each.

        The key is the index in `speeds` of each film's other speed `(b,)`, which without chance go in turn.
        """
        if x.shape[2] <= self.length:
            return Views(x)
        others = max(len(self.speeds) - 1, 1)
        if random is not None:
            key = torch.randint(1, others + 1, (len(x),), generator=random)
        else:
            key = 1 + torch.arange(x.shape[0]) % others
        steps = torch.arange(self.length) - self.length // 2
        frames = [x.shape[2] // 2 + self.speeds[other] * steps for other in key.tolist()]
        played = [film[:, places] for film, places in zip(x, frames, strict=True)]
        return Views(torch.cat([self.as_scored(x), torch.stack(played)]), key)

    def presented(self, views: Views) -> Tensor:
        """Frames, motion and positions of clips, as the channels of one picture."""
        return with_positions(stacked(views.samples))

    def as_scored(self, x: Tensor) -> Tensor:
        """The clips in the middle of films `(b, c, frames, h, w)`, as filmed: `(b, c, length, h, w)`."""
        start = (x.shape[2] - self.length) // 2
        return x[:, :, start : start + self.length]

    def target(self, x: Tensor) -> Tensor:
        """Frames and motion of the clips."""
        return stacked(self.as_scored(x))

    def restored(self, decode: Callable[[Tensor], Tensor], read: Tensor, count: int, views: Views) -> Tensor:  # noqa: ARG002
        """The reconstructions of the clips as filmed; the others are only told apart."""
        return decode(read[:count])

    def surprise(self, read: Tensor, views: Views) -> Tensor | None:
        """Of clips `log_odds` `(b, h, w)`, of films `cross_entropy` `(b,)`; None where there is one speed alone."""
        if views.key is not None:
            return self.cross_entropy(read, views)
        return self.log_odds(read) if len(self.speeds) > 1 else None

    def loss(self, surprise: Tensor, error: Tensor) -> Tensor:
        """In the unit of the surprise besides, for most speeds are predicted from the start."""
        return super().loss(surprise, error) / surprise.detach().mean().clamp_min(SMALL)

    def restored_well(self, raw: Tensor, x_hat: Tensor) -> Tensor:  # noqa: ARG002 (frames and motion are no clip)
        """Clips in which nothing moves."""
        return raw[:, :, :1].expand_as(raw)

    def log_probability(self, read: Tensor) -> Tensor:
        """Of each speed at each position `(b, speeds, h, w)`, from what was read `(b, c, h, w)`."""
        logits: Tensor = self.head(read)
        return logits.log_softmax(1)

    def log_odds(self, read: Tensor) -> Tensor:
        """Log-odds that a position is not played as filmed `(b, h, w)`: how surprising it is, and how ordinary.

        The logarithm of a likelihood ratio, which is the best test of one against the other (Neyman and Pearson, 1933).
        """
        predicted = self.log_probability(read)
        return predicted[:, 1:].logsumexp(1) - predicted[:, 0]

    def cross_entropy(self, read: Tensor, views: Views) -> Tensor:
        """How badly the speeds of films are predicted `(b,)`, nats, mean over positions by how much moves there.

        Args:
            read: what the memory answered to the views `(2b, c, h, w)`.
            views: of films.
        """
        assert views.key is not None  # noqa: S101 (films have one)
        predicted = self.log_probability(read)
        speeds = torch.cat([torch.zeros_like(views.key), views.key]).to(predicted.device)
        missed = -predicted[torch.arange(len(predicted), device=predicted.device), speeds]  # (2b, h, w)
        change = views.samples.diff(dim=2).abs().amax((1, 2))
        moved = adaptive_avg_pool2d(change, (missed.shape[1], missed.shape[2]))
        weight = moved / moved.mean().clamp_min(torch.finfo(moved.dtype).tiny) + GROUND
        each = (missed * weight).flatten(1).sum(1) / weight.mean()
        return each.reshape(2, -1).mean(0) / missed[0].numel()


def motion(clips: Tensor) -> Tensor:
    """What changes from each frame to the next, `(b, c, t, h, w)` → `(b, c · (t − 1), h, w)`."""
    return clips.diff(dim=2).mul(SHARPER).flatten(1, 2)


def stacked(clips: Tensor) -> Tensor:
    """Frames and motion as the channels of one picture, `(b, c, t, h, w)` → `(b, c · (2t − 1), h, w)`."""
    return torch.cat([clips.flatten(1, 2), motion(clips)], 1)


def with_positions(pictures: Tensor) -> Tensor:
    """Pictures with the row and the column of each pixel, −1 to 1, as two channels more: `(b, c + 2, h, w)`.

    How fast people walk and how large they are depends on where they are (Liu et al., An intriguing failing of
    convolutional neural networks and the CoordConv solution, NeurIPS 2018).
    """
    height, width = pictures.shape[2:]
    rows = torch.linspace(-1, 1, height, dtype=pictures.dtype, device=pictures.device)
    columns = torch.linspace(-1, 1, width, dtype=pictures.dtype, device=pictures.device)
    where = torch.stack([rows[:, None].expand(-1, width), columns.expand(height, -1)])
    return torch.cat([pictures, where.expand(pictures.shape[0], -1, -1, -1)], 1)


def span(speeds: Sequence[int], length: int) -> int:
    """Frames of a film from which a clip of every speed can be taken; its middle is that of all of them.

    Example:
        >>> span((1, 2, 3, -1), 9)
        25
    """
    return (length - 1) * max(map(abs, speeds)) + 1
