"""Detectors with scikit-learn's conventions, one for each kind of data."""

from pathlib import Path

from memae.errors import ModelFileError
from memae.estimators.base import Estimator
from memae.estimators.image import ImageMemAE
from memae.estimators.tabular import TabularMemAE
from memae.estimators.video import VideoMemAE
from memae.kinds.following import FrameScore
from memae.modelfile import artifact

__all__ = ["Estimator", "FrameScore", "ImageMemAE", "TabularMemAE", "VideoMemAE", "load"]


def load(source: str | Path | bytes) -> Estimator:
    """Loads the detector of a model file; nothing in such a file can run code.

    Args:
        source: path of the file, or its content.

    Raises:
        ModelFileError: the file is missing, foreign, damaged, or of a newer format.
    """
    found = artifact.load(source)
    name = artifact.named(source)
    for kind in (TabularMemAE, ImageMemAE, VideoMemAE):
        if kind.kind == found.kind:
            with artifact.doubted(name):
                return kind.from_artifact(found)
    raise ModelFileError(f"{name} holds a model for {found.kind!r} data, which this memae does not know; upgrade memae")
