"""The training samples that a model keeps for explanations: those nearest to each memory item."""

import math
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.utils.random import sample_without_replacement
from torch import Tensor

from memae.data.clips import Clips
from memae.data.images import Found
from memae.data.pixels import resize
from memae.data.samples import ReadAhead, Samples, Selection
from memae.data.tiles import OF_FRAME, THUMBNAIL, Tiles, around
from memae.estimators.films import Sampled
from memae.evidence import Examples, likeness
from memae.scoring import Scaling, Scorer

NEAREST = 3
"""Samples kept per item."""
SAMPLES, ELEMENTS = 4096, 2**27
"""Maximum number of training samples to search, and of their elements in total; bounds the cost."""
SIDE = 48
"""Maximum length of a thumbnail's longer side, in pixels."""

Named = Callable[[int], str]
"""Index of a training sample → its name for the user."""


def nearest_examples(
    scorer: Scorer, shape: Sequence[int], training: Samples, named: Named, seed: int
) -> Examples | None:
    """The training samples nearest to each memory item, out of up to 4096 random ones; None without a memory.

    The sampling has its own random state: neither training nor scores depend on it.

    Args:
        scorer: trained.
        shape: of a sample.
        training: raw; those of video may be longer than a clip, of which the middle is taken.
        named: names a sample by its index in `training`.
        seed: of the sampling.
    """
    memory = scorer.model.memory
    if memory is None:
        return None
    cosines, nearest = torch.empty(len(memory.items), 0), torch.empty(len(memory.items), 0, dtype=torch.int64)
    count = min(max(ELEMENTS // math.prod(shape), 1), SAMPLES)
    pictures: dict[int, Tensor] = {}
    for indices, batch in _sampled(training, count, scorer.chunk, seed):
        both = torch.cat([cosines, likeness(scorer, batch).float().T], 1)
        which = torch.cat([nearest, indices.expand(len(nearest), -1)], 1)
        cosines, order = both.topk(min(NEAREST, both.shape[1]))
        nearest = which.gather(1, order)
        pictures |= zip(indices.tolist(), _thumbnails(scorer, batch), strict=False)
    pool, inverse = np.unique(nearest.numpy(), return_inverse=True)
    thumbnails = torch.stack([pictures[index] for index in pool.tolist()]) if pictures else None
    names = tuple(named(index) for index in pool.tolist())
    numbers = torch.from_numpy(inverse).int().reshape(nearest.shape)
    return Examples(numbers, (1 - cosines).clamp_min(0), names, thumbnails)


def rows_as_examples(names: Sequence[str]) -> Examples:
    """The examples of a memory whose items are rows: each is its own example.

    Args:
        names: of the rows, one for each item.
    """
    index = torch.arange(len(names), dtype=torch.int32)[:, None]
    return Examples(index, torch.zeros(len(names), 1), tuple(names))


def photo_examples(
    tiles: Tiles,
    tile: Tensor,
    position: Tensor,
    space: Sequence[int],
    scaling: Scaling,
    source: Any,
    distance: Tensor | None = None,
) -> Examples:
    """The examples of a memory of patches: each is cut from its photo, with some of what surrounds it.

    Args:
        tiles: of the training photos.
        tile: the tile that each item comes from, or is most like a part of `(items,)`.
        position: of that part in the map of the tile, row by row `(items,)`.
        space: height and width of the map.
        scaling: brings pixels to 0 … 1.
        source: the user's, for the names.
        distance: of each item to that part `(items,)`; None for 0: the item is it.
    """
    root = root_of(source) if tiles.paths else None
    height, width = space
    names: list[str] = []
    pictures: list[Tensor] = []
    order = torch.argsort(tile, stable=True)
    for item in order.tolist():
        number, at = int(tile[item]), int(position[item])
        photo, box = int(tiles.photo[number]), tiles.boxes[number]
        row, column = (at // width + 0.5) / height, (at % width + 0.5) / width
        where = f"{round(box.top + row * box.size[0])}, {round(box.left + column * box.size[1])}"
        name = f"image {photo}" if root is None else within(root, tiles.paths[photo])
        names.append(f"{name} at ({where})")
        pictures.append(around(scaling(tiles.take(torch.tensor([number]))[0]), row, column))
    index = torch.empty_like(order)
    index[order] = torch.arange(len(order))
    apart = torch.zeros(len(order)) if distance is None else distance
    thumbnails = torch.stack(pictures) if pictures else torch.zeros(0, tiles.shape[0], THUMBNAIL, THUMBNAIL).byte()
    return Examples(index.int()[:, None], apart[:, None], tuple(names), thumbnails)


def added_examples(before: Examples, stayed: Tensor, new: Examples, suffix: str) -> Examples:
    """The examples of a memory of patches after an update: of the items that stayed, then of the new ones.

    Args:
        before: of the old items.
        stayed: numbers of those that stayed `(old,)`.
        new: of the new items.
        suffix: of the names of the new ones.
    """
    assert before.thumbnails is not None  # noqa: S101 (of photos, there are some)
    assert new.thumbnails is not None  # noqa: S101 (as above)
    which = before.index[stayed, 0].long()
    return Examples(
        torch.cat([torch.arange(len(which)), len(which) + new.index[:, 0]]).int()[:, None],
        torch.cat([before.distance[stayed], new.distance]),
        (*(before.names[number] for number in which.tolist()), *(f"{name} {suffix}" for name in new.names)),
        torch.cat([before.thumbnails[which], new.thumbnails]),
    )


def film_examples(
    films: Sampled, frame: Tensor, position: Tensor, space: Sequence[int], scaling: Scaling, root: Path | None
) -> Examples:
    """The examples of a memory of positions of frames: each is cut from its frame, with some of what surrounds it.

    Args:
        films: the described frames.
        frame: the one that each item comes from `(items,)`.
        position: of the item in the map of that frame, row by row `(items,)`.
        space: height and width of the map.
        scaling: brings pixels to 0 … 1.
        root: folder that videos are named relative to; None for arrays.
    """
    rows, columns = space
    names: list[str] = []
    pictures: list[Tensor] = []
    for number, at in zip(frame.tolist(), position.tolist(), strict=True):
        raw, video = films.raw[number], films.names[int(films.video[number])]
        row, column = (at // columns + 0.5) / rows, (at % columns + 0.5) / columns
        shown = f"video {video}" if root is None else within(root, Path(video))
        where = f"{round(row * raw.shape[1])}, {round(column * raw.shape[2])}"
        names.append(f"{shown} frame {int(films.number[number])} at ({where})")
        pictures.append(around(scaling(raw[None])[0], row, column, most=OF_FRAME))
    index = torch.arange(len(names), dtype=torch.int32)[:, None]
    channels = films.raw[0].shape[0]
    thumbnails = torch.stack(pictures) if pictures else torch.zeros(0, channels, THUMBNAIL, THUMBNAIL).byte()
    return Examples(index, torch.zeros(len(names), 1), tuple(names), thumbnails)


def _sampled(samples: Samples, count: int, size: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """`count` random samples in ascending order: their indices and the samples themselves, `size` at a time."""
    random = sample_without_replacement(len(samples), min(count, len(samples)), random_state=seed)
    wanted = torch.from_numpy(random).long().sort().values
    indexed = samples.samples if isinstance(samples, ReadAhead) else samples
    if isinstance(indexed, Selection):
        for indices in torch.split(wanted, size):
            yield indices, indexed.samples.take(indexed.index[indices])
        return
    start = 0
    for batch in samples.batches(size):
        indices = wanted[(wanted >= start) & (wanted < start + len(batch))]
        if len(indices):
            yield indices, batch[indices - start]
        start += len(batch)
        if start > wanted[-1]:
            return


def _thumbnails(scorer: Scorer, batch: Tensor) -> Sequence[Tensor]:
    """Thumbnails `(c, h, w)`, uint8, of raw images `(b, c, h, w)` or middle frames of clips; empty for rows."""
    if batch.ndim < 4:
        return ()
    images = batch if batch.ndim == 4 else batch[:, :, batch.shape[2] // 2]
    scaling = scorer.scaling
    share = (images.to(scorer.device) - scaling.center) / scaling.scale
    height, width = images.shape[2:]
    smaller = min(SIDE / max(height, width), 1.0)
    size = max(round(height * smaller), 1), max(round(width * smaller), 1)
    return list(resize(share.float().clamp(0, 1), size).mul(255).round().to(torch.uint8).cpu())


def root_of(source: Any) -> Path:
    """The folder given, or the common parent of the files given; names relative to it keep its path out of a model."""
    source = source.source if isinstance(source, Found) else source
    paths = [Path(each).absolute() for each in (source if isinstance(source, list | tuple) else [source])]
    return Path(os.path.commonpath([each if each.is_dir() else each.parent for each in paths]))


def within(root: Path, path: Path) -> str:
    """`path` relative to `root`; the name of `root` for the root itself.

    Example:
        >>> within(Path("/data/parts"), Path("/data/parts/good/003.png"))
        'good/003.png'
    """
    return path.absolute().relative_to(root).as_posix() if path.absolute() != root else root.name


def frame_name(root: Path | None, films: Clips, index: int) -> str:
    """Names the middle frame of a training clip: its video, a path relative to `root`, and the frame's number."""
    video, start = films.origin[index].tolist()
    name = films.videos[video].name
    shown = f"video {name}" if root is None else within(root, Path(name))
    return f"{shown} frame {start + films.length // 2}"
