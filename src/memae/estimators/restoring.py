"""What an estimator reads from a model file, checked against the model that is in it."""

from typing import Any, Literal, get_type_hints

from numpy.random import RandomState

from memae.data.formats import VideoFormat
from memae.data.tables import TableEncoder
from memae.errors import ModelFileError
from memae.modelfile.artifact import Artifact
from memae.parameters import Common, former_names
from memae.typed import typed


def parameters_of(source: Artifact, kind: type[Common]) -> dict[str, Any]:
    """The parameters that a file has for an estimator, of the types of its fields, under the names of today.

    Raises:
        TypeError, KeyError: one is of another type, unknown, or there under its former name as well.
    """
    hints = get_type_hints(kind.__init__, localns={"RandomState": RandomState})
    former = former_names(kind)
    found: dict[str, Any] = {}
    for each, value in source.parameters.items():
        name = former.get(each, each)
        if name in found:
            raise TypeError(f"{name} is there twice")
        found[name] = typed(value, hints[name])
    return found


def restored_columns(source: Artifact) -> TableEncoder:
    """The columns of a table's model.

    Raises:
        ModelFileError: they give other features than the model has.
        TypeError, KeyError: they are no columns.
    """
    encoder = TableEncoder.from_json(source.encoding["columns"])
    names = [column.name for column in encoder.columns]
    if (encoder.width,) != source.spec.shape or len(set(names)) < len(names):
        raise ModelFileError(f"its columns give {encoder.width} features, its model has {source.spec.shape}")
    return encoder


def restored_pixels(source: Artifact, size: Any) -> tuple[str, Any]:
    """The unit of the pixels and the shape of the samples of a model for images or video.

    Args:
        source: what the file holds.
        size: height and width to scale to, or anything else for none.

    Raises:
        ModelFileError: they do not belong to its model.
        TypeError, KeyError: they are none.
    """
    unit: str = typed(source.encoding["unit"], Literal["grey levels", "numbers"])
    shape: tuple[int, ...] = typed(source.encoding["shape"], tuple[int, ...])
    axes = {"image": 3, "video": 4}[source.kind]
    if shape != source.spec.shape or len(shape) != axes or shape[0] not in (1, 3):
        raise ModelFileError(f"its samples are {shape}, its model is for {source.spec.shape}")
    if isinstance(size, tuple) and size != shape[-2:]:
        raise ModelFileError(f"its samples are scaled to {size}, its model is for {shape[-2:]}")
    return unit, shape


def restored_format(source: Artifact) -> VideoFormat | None:
    """The format of the training videos of a model; None where it does not tell.

    Raises:
        ModelFileError: no video has it.
        TypeError, KeyError: it is something else.
    """
    known: VideoFormat | None = typed(source.encoding.get("video_format"), VideoFormat | None)
    if known and not all(0 < each < 10**6 for each in known if each is not None):
        raise ModelFileError(f"its videos have (height, width, rate) = {tuple(known)}")
    return known


def check_clips(shape: tuple[int, ...], channels: int, length: int, score_step: int, smooth: int) -> None:
    """Whether frames become clips `(c, t, h, w)` as the model was fitted on.

    Raises:
        ModelFileError: they do not.
    """
    if (channels, length) != shape[:2] or not 1 <= score_step < 10**6 or not (1 <= smooth < 10**6 and smooth % 2):
        told = f"length {length}, score_step {score_step} or smooth {smooth}"
        raise ModelFileError(f"its {channels} channels, {told} do not fit clips of {shape}")
