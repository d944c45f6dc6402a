"""Figures of images with defects of several kinds, and with masks of their pixels."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memae.data.layout import read_mask
from memae.metrics import PixelTally, quality
from memae.pixel_metrics import usual
from memae.scoring import Floats


class PixelsByDefect:
    """Tallies of pixels for each kind of defect, in 24 MB each.

    Args:
        masks: the mask file of each image; None for good ones, and for those that are left out.
    """

    def __init__(self, masks: Mapping[Path, Path | None]) -> None:
        self.masks = masks
        self.tallies: dict[str | None, PixelTally] = {}
        self.images = 0

    def add(self, path: Path, defect: str | None, values: NDArray[Any]) -> None:
        """Counts the pixels of an image, unless it has a defect and no mask.

        Args:
            path: of the image.
            defect: the kind of its defect; None if it is good.
            values: its map `(h, w)`, at its own size.
        """
        mask = self.masks[path]
        if defect is not None and mask is None:
            return
        if defect not in self.tallies:
            middle = next((tally.middle for tally in self.tallies.values()), usual(values))
            self.tallies[defect] = PixelTally(middle)
        size = (values.shape[0], values.shape[1])
        self.tallies[defect].add(None if mask is None else read_mask(mask, size), values)
        self.images += 1

    def figures(self, defect: str | None = None) -> dict[str, float]:
        """AUROC and PRO of the pixels of good images and those with one kind of defect; None for all kinds.

        Empty if no pixel is defective, or all are.
        """
        chosen = [tally for kind, tally in self.tallies.items() if defect is None or kind in (None, defect)]
        both = sum(chosen[1:], chosen[0]) if chosen else None
        if both is None or not both.defective.any() or not both.normal.any():
            return {}
        return {"auroc": round(both.auroc(), 6), "pro": round(both.pro(), 6)}


def figures(defects: Sequence[str | None], scores: Floats, pixels: PixelsByDefect | None) -> dict[str, Any]:
    """AUROC of each kind of defect against the good images and, with masks, figures of pixels; JSON-ready.

    Args:
        defects: the kind of defect of each image; None for good ones.
        scores: of the images `(n,)`.
        pixels: of the images with masks; None if there are no masks.
    """
    kinds = np.array([defect or "" for defect in defects])
    found: dict[str, Any] = {"by_defect": {}}
    for kind in sorted(set(kinds) - {""}):
        among = np.isin(kinds, ["", kind])
        figure = quality(kinds[among] == kind, scores[among], np.inf).auroc.as_json()
        found["by_defect"][str(kind)] = {"images": int((kinds == kind).sum()), "auroc": figure}
    if pixels is not None and (whole := pixels.figures()):
        found["pixels"] = {"images": pixels.images, **whole}
        for kind, facts in found["by_defect"].items():
            facts |= {f"pixel_{name}": value for name, value in pixels.figures(kind).items()}
    return found
