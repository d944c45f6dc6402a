"""Clips as pictures of motion, whose playback speed is predicted from the memory read-out.

A model of normal motion predicts its speed well; abnormal motion is taken for a faster clip, or its speed is uncertain
(Georgescu et al., Anomaly Detection in Video via Self-Supervised and Multi-Task Learning, CVPR 2021, for detected
objects; here for each position of a frame). Not in the MemAE paper.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from memae.pretext import Pretext, PretextSpec, Views
from memae.randomness import BatchRandom

SHARPER = 4.0
"""Factor on differences of neighbouring frames, which are small compared to the frames."""
GROUND = 0.02
"""Weight of a position without motion, which shows no speed; the mean weight of motion is 1."""
SMALL = 1e-3
"""Minimum mean surprise, in nats, that the loss is normalised by: below, there is little to learn."""


@dataclass(frozen=True)
class SpeedSpec(PretextSpec):
    """Makes frames of a clip and their differences the channels of one picture, and predicts the playback speed.

    Args:
        speeds: playback speeds as multiples of the original; the first is 1. With 1 alone, nothing is predicted.
    """

    speeds: tuple[int, ...]

    @property
    def by_position(self) -> bool:
        """True: the speed is predicted at each position."""
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
        """Refuses samples that are not clips, and clips of one frame, row or column."""
        if len(shape) != 4 or min(shape[1:]) < 2:
            raise ValueError("only clips have speeds")


class Speeds(Pretext):
    """Encodes clips at original and other speed, restores the former, and predicts the speed at each position.

    Training samples are longer clips, here called films, from whose middle a clip of every speed can be taken; see
    `span`.

    Args:
        features: number of features of a position of the code.
        speeds: the first is 1, the original speed; −1 is backwards.
        length: frames per clip.
    """

    def __init__(self, features: int, speeds: Sequence[int], length: int) -> None:
        super().__init__()
        self.speeds = tuple(speeds)
        self.length = length
        self.head = nn.Conv2d(features, len(speeds), 1)

    def views(self, x: Tensor, random: BatchRandom | None = None) -> Views:
        """Clips unchanged; films `(b, c, span, h, w)` as clips at original speed, then each at another speed.

        For films, the key `(b,)` is the index in `speeds` of the other speed; with `random` None, they take turns.
        """
        if x.shape[2] <= self.length:
            return Views(x)
        others = max(len(self.speeds) - 1, 1)
        key = 1 + torch.arange(x.shape[0]) % others if random is None else random.randint(1, others + 1)
        steps = torch.arange(self.length) - self.length // 2
        frames = [x.shape[2] // 2 + self.speeds[other] * steps for other in key.tolist()]
        played = [film[:, indices] for film, indices in zip(x, frames, strict=True)]
        return Views(torch.cat([self.as_scored(x), torch.stack(played)]), key)

    def presented(self, views: Views) -> Tensor:
        """Frames, motion and pixel coordinates of clips as the channels of one picture."""
        return with_positions(stacked(views.samples))

    def as_scored(self, x: Tensor) -> Tensor:
        """The clips in the middle of films at original speed, `(b, c, frames, h, w)` → `(b, c, length, h, w)`."""
        start = (x.shape[2] - self.length) // 2
        return x[:, :, start : start + self.length]

    def target(self, x: Tensor) -> Tensor:
        """Frames and motion of the clips at original speed."""
        return stacked(self.as_scored(x))

    def restored(self, decode: Callable[[Tensor], Tensor], read: Tensor, count: int, views: Views) -> Tensor:  # noqa: ARG002
        """The reconstructions of the clips at original speed; of the others only the speed is predicted."""
        return decode(read[:count])

    def surprise(self, read: Tensor, views: Views) -> Tensor | None:
        """`log_odds` `(b, h, w)` of clips or `cross_entropy` `(b,)` of films; for clips None with a single speed."""
        if views.key is not None:
            return self.cross_entropy(read, views)
        return self.log_odds(read) if len(self.speeds) > 1 else None

    def loss(self, surprise: Tensor, error: Tensor) -> Tensor:
        """See `Pretext.loss`; also divided by the mean surprise, for most speeds are predicted well from the start."""
        return super().loss(surprise, error) / self.mean(surprise.detach()).clamp_min(SMALL)

    def restored_well(self, raw: Tensor, x_hat: Tensor) -> Tensor:  # noqa: ARG002 (frames and motion are no clip)
        """Clips without motion: the first frame of `raw`, repeated."""
        return raw[:, :, :1].expand_as(raw)

    def log_probability(self, read: Tensor) -> Tensor:
        """Log-probability of each speed at each position `(b, speeds, h, w)`, from the read-out `(b, c, h, w)`."""
        logits: Tensor = self.head(read)
        return logits.log_softmax(1)

    def log_odds(self, read: Tensor) -> Tensor:
        """Log-odds that a position is not played at original speed `(b, h, w)`.

        It is the logarithm of a likelihood ratio, the most powerful test statistic (Neyman and Pearson, 1933).
        """
        predicted = self.log_probability(read)
        return predicted[:, 1:].logsumexp(1) - predicted[:, 0]

    def cross_entropy(self, read: Tensor, views: Views) -> Tensor:
        """Cross-entropy of the predicted speeds of films `(b,)` in nats; mean over positions, weighted by motion.

        Args:
            read: memory read-out of the views `(2b, c, h, w)`.
            views: of films.
        """
        assert views.key is not None  # noqa: S101 (films have one)
        predicted = self.log_probability(read)
        speeds = torch.cat([torch.zeros_like(views.key), views.key]).to(predicted.device)
        missed = -predicted[torch.arange(len(predicted), device=predicted.device), speeds]  # (2b, h, w)
        change = views.samples.diff(dim=2).abs().amax((1, 2))
        moved = adaptive_avg_pool2d(change, (missed.shape[1], missed.shape[2]))
        weight = moved / self.mean(moved).clamp_min(torch.finfo(moved.dtype).tiny) + GROUND
        each = (missed * weight).flatten(1).sum(1) / self.mean(weight)
        return each.reshape(2, -1).mean(0) / missed[0].numel()


def motion(clips: Tensor) -> Tensor:
    """Amplified differences of consecutive frames, `(b, c, t, h, w)` → `(b, c · (t − 1), h, w)`."""
    return clips.diff(dim=2).mul(SHARPER).flatten(1, 2)


def stacked(clips: Tensor) -> Tensor:
    """Frames and motion as the channels of one picture, `(b, c, t, h, w)` → `(b, c · (2t − 1), h, w)`."""
    return torch.cat([clips.flatten(1, 2), motion(clips)], 1)


def with_positions(pictures: Tensor) -> Tensor:
    """Adds the row and column of each pixel, −1 to 1, as two channels: `(b, c + 2, h, w)`.

    Size and speed of people in a picture depend on their position (CoordConv: Liu et al., An intriguing failing of
    convolutional neural networks and the CoordConv solution, NeurIPS 2018).
    """
    height, width = pictures.shape[2:]
    rows = torch.linspace(-1, 1, height, dtype=pictures.dtype, device=pictures.device)
    columns = torch.linspace(-1, 1, width, dtype=pictures.dtype, device=pictures.device)
    coordinates = torch.stack([rows[:, None].expand(-1, width), columns.expand(height, -1)])
    return torch.cat([pictures, coordinates.expand(pictures.shape[0], -1, -1, -1)], 1)


def span(speeds: Sequence[int], length: int) -> int:
    """Number of frames of a film from which a clip of every speed can be taken, all centred on the film's middle.

    Example:
        >>> span((1, 2, 3, -1), 9)
        25
    """
    return (length - 1) * max(map(abs, speeds)) + 1
