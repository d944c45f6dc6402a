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


def load(path: str | Path) -> Estimator:
    """Loads the detector of a model file; nothing in such a file can run code.

    Raises:
        ModelFileError: the file is missing, foreign, damaged, or of a newer format.
    """
    source = artifact.load(path)
    for kind in (TabularMemAE, ImageMemAE, VideoMemAE):
        if kind.kind == source.kind:
            with artifact.doubted(path):
                return kind.from_artifact(source)
    raise ModelFileError(
        f"{path} holds a model for {source.kind!r} data, which this memae does not know; upgrade memae"
    )
