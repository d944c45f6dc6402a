"""Clips as pictures of motion, and what is told from the memory's answer of how fast they were played.

Who knows normal motion knows its speed; what moves otherwise is taken for a clip that was played faster, or not known
(Georgescu et al., Anomaly Detection in Video via Self-Supervised and Multi-Task Learning, CVPR 2021, for detected
objects; here for each position of a frame). Not in the MemAE paper.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

SHARPER = 4.0
"""Differences of neighbouring frames are small beside the frames themselves."""
GROUND = 0.02
"""What a position counts without motion, where the mean position counts 1: nothing there tells a pace."""


def motion(clips: Tensor) -> Tensor:
    """What changes from each frame to the next, `(b, c, t, h, w)` → `(b, c · (t − 1), h, w)`."""
    return clips.diff(dim=2).mul(SHARPER).flatten(1, 2)


def stacked(clips: Tensor) -> Tensor:
    """Frames and motion as the channels of one picture, `(b, c, t, h, w)` → `(b, c · (2t − 1), h, w)`."""
    return torch.cat([clips.flatten(1, 2), motion(clips)], 1)


def placed(pictures: Tensor) -> Tensor:
    """Pictures with the row and the column of each pixel, −1 to 1, as two channels more: `(b, c + 2, h, w)`.

    How fast people walk and how large they are depends on where they are (Liu et al., An intriguing failing of
    convolutional neural networks and the CoordConv solution, NeurIPS 2018).
    """
    height, width = pictures.shape[2:]
    rows = torch.linspace(-1, 1, height, dtype=pictures.dtype, device=pictures.device)
    columns = torch.linspace(-1, 1, width, dtype=pictures.dtype, device=pictures.device)
    where = torch.stack([rows[:, None].expand(-1, width), columns.expand(height, -1)])
    return torch.cat([pictures, where.expand(pictures.shape[0], -1, -1, -1)], 1)


class Pace(nn.Module):
    """Tells for each position of a clip how many times as fast as filmed it was played.

    Args:
        features: of a position.
        places: rows and columns of positions.
        paces: the first is 1, as filmed; −1 is backwards.
        length: frames of a clip.
    """

    def __init__(self, features: int, places: tuple[int, int], paces: Sequence[int], length: int) -> None:
        super().__init__()
        self.places = places
        self.paces = tuple(paces)
        self.length = length
        self.teller = nn.Conv2d(features, len(paces), 1)

    def normal(self, films: Tensor) -> Tensor:
        """The clips in the middle of films `(b, c, frames, h, w)`, as filmed: `(b, c, length, h, w)`."""
        start = (films.shape[2] - self.length) // 2
        return films[:, :, start : start + self.length]

    def drawn(self, films: int, generator: torch.Generator) -> Tensor:
        """A pace other than the first for each film, as its position in `paces`: `(films,)`."""
        return torch.randint(1, max(len(self.paces), 2), (films,), generator=generator)

    def every(self, films: int) -> Tensor:
        """The same without chance: all in turn."""
        return 1 + torch.arange(films) % max(len(self.paces) - 1, 1)

    def views(self, films: Tensor, others: Tensor) -> Tensor:
        """Clips as filmed and then, of the same films, at other paces: `(2b, c, length, h, w)`.

        Args:
            films: `(b, c, span, h, w)`.
            others: position in `paces` for each `(b,)`.
        """
        middle = films.shape[2] // 2
        steps = torch.arange(self.length) - self.length // 2
        places = [middle + self.paces[other] * steps for other in others.tolist()]
        played = [film[:, place] for film, place in zip(films, places, strict=True)]
        return torch.cat([self.normal(films), torch.stack(played)])

    def told(self, read: Tensor) -> Tensor:
        """Log-probability of each pace at each position `(b, paces, h, w)`, from what was read `(b, c, h, w)`."""
        logits: Tensor = self.teller(read)
        return logits.log_softmax(1)

    def odds(self, read: Tensor) -> Tensor:
        """Log-odds that a place is not played as filmed `(b, h, w)`: how surprising it is, and how ordinary.

        The logarithm of a likelihood ratio, which is the best test of one against the other (Neyman and Pearson, 1933).
        """
        told = self.told(read)
        return told[:, 1:].logsumexp(1) - told[:, 0]

    def mistold(self, read: Tensor, views: Tensor, others: Tensor) -> Tensor:
        """How badly the paces of `views` are told, `(b,)`, nats, mean over positions by how much moves there.

        Args:
            read: for the views `(2b, c, h, w)`.
            views: what `views` gave.
            others: see `views`.
        """
        told = self.told(read)
        paces = torch.cat([torch.zeros_like(others), others]).to(told.device)
        missed = -told[torch.arange(len(told), device=told.device), paces]  # (2b, h, w)
        moved = adaptive_avg_pool2d(views.diff(dim=2).abs().amax((1, 2)), (missed.shape[1], missed.shape[2]))
        weight = moved / moved.mean().clamp_min(torch.finfo(moved.dtype).tiny) + GROUND
        each = (missed * weight).flatten(1).sum(1) / weight.mean()
        return each.reshape(2, -1).mean(0) / missed[0].numel()


def span(paces: Sequence[int], length: int) -> int:
    """Frames of a film from which a clip of every pace can be taken; its middle is that of all of them.

    Example:
        >>> span((1, 2, 3, -1), 9)
        25
    """
    return (length - 1) * max(map(abs, paces)) + 1
