"""The training samples that a model keeps to explain with: those nearest to each memory item."""

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
from memae.data.pixels import resize
from memae.data.samples import ReadAhead, Samples, Selection
from memae.evidence import Examples, likeness
from memae.scoring import Scorer

NEAREST = 3
"""Samples that are kept for an item."""
SAMPLES, ELEMENTS = 4096, 2**27
"""Training samples among which the nearest are looked for, and elements they have together, at most: to cost little."""
SIDE = 48
"""Pixels of the longer side of a kept picture, at most."""

Named = Callable[[int], str]
"""The position of a training sample → how the user knows it."""


def nearest_examples(
    scorer: Scorer, shape: Sequence[int], training: Samples, named: Named, seed: int
) -> Examples | None:
    """The training samples nearest to each memory item, out of some thousand drawn at random; None without a memory.

    Nothing else is drawn: neither training nor scores depend on it.

    Args:
        scorer: trained.
        shape: of a sample.
        training: raw; of video also films longer than a clip, of which the middle counts.
        named: names a sample by its position in `training`.
        seed: draws the samples.
    """
    memory = scorer.model.memory
    if memory is None:
        return None
    cosines, places = torch.empty(len(memory.items), 0), torch.empty(len(memory.items), 0, dtype=torch.int64)
    count = min(max(ELEMENTS // math.prod(shape), 1), SAMPLES)
    pictures: dict[int, Tensor] = {}
    for numbers, batch in _drawn(training, count, scorer.chunk, seed):
        both = torch.cat([cosines, likeness(scorer, batch).float().T], 1)
        which = torch.cat([places, numbers.expand(len(places), -1)], 1)
        cosines, order = both.topk(min(NEAREST, both.shape[1]))
        places = which.gather(1, order)
        pictures |= zip(numbers.tolist(), _thumbnails(scorer, batch), strict=False)
    pool, index = np.unique(places.numpy(), return_inverse=True)
    thumbnails = torch.stack([pictures[place] for place in pool.tolist()]) if pictures else None
    names = tuple(named(place) for place in pool.tolist())
    return Examples(torch.from_numpy(index).int().reshape(places.shape), (1 - cosines).clamp_min(0), names, thumbnails)


def _drawn(samples: Samples, count: int, size: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """So many of the samples, drawn at random, in their order: positions and samples, `size` at a time."""
    drawn = sample_without_replacement(len(samples), min(count, len(samples)), random_state=seed)
    wanted = torch.from_numpy(drawn).long().sort().values
    indexed = samples.samples if isinstance(samples, ReadAhead) else samples
    if isinstance(indexed, Selection):
        for places in torch.split(wanted, size):
            yield places, indexed.samples.take(indexed.index[places])
        return
    start = 0
    for batch in samples.batches(size):
        places = wanted[(wanted >= start) & (wanted < start + len(batch))]
        if len(places):
            yield places, batch[places - start]
        start += len(batch)
        if start > wanted[-1]:
            return


def _thumbnails(scorer: Scorer, batch: Tensor) -> Sequence[Tensor]:
    """Small pictures of raw images `(b, c, h, w)` or of the middle frames of clips; nothing for rows."""
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
    """The folder that was given, or the one above all files that were: a model file need not tell where that lay."""
    paths = [Path(each).absolute() for each in (source if isinstance(source, list | tuple) else [source])]
    return Path(os.path.commonpath([each if each.is_dir() else each.parent for each in paths]))


def within(root: Path, path: Path) -> str:
    """`path` as seen from `root`; its name if it is the root itself.

    Example:
        >>> within(Path("/data/parts"), Path("/data/parts/good/003.png"))
        'good/003.png'
    """
    return path.absolute().relative_to(root).as_posix() if path.absolute() != root else root.name


def frame_name(root: Path | None, films: Clips, place: int) -> str:
    """How the user knows the frame in the middle of a training clip: its video, a path below `root`, and its number."""
    video, start = films.origin[place].tolist()
    name = films.videos[video].name
    known = f"video {name}" if root is None else within(root, Path(name))
    return f"{known} frame {start + films.length // 2}"
