"""Reads an estimator's part of a model file and checks it against the model in that file."""

from typing import Any, Literal, get_type_hints

from numpy.random import RandomState

from memae.data.formats import VideoFormat
from memae.data.tables import TableEncoder
from memae.errors import ModelFileError
from memae.modelfile.artifact import Artifact
from memae.parameters import Common, former_names
from memae.typed import typed


def parameters_of(source: Artifact, kind: type[Common]) -> dict[str, Any]:
    """The estimator's parameters in a file, converted to the types of the fields, under their current names.

    Raises:
        TypeError, KeyError: a parameter has the wrong type, is unknown, or is there under its former name as well.
    """
    hints = get_type_hints(kind.__init__, localns={"RandomState": RandomState})
    former = former_names(kind)
    parameters: dict[str, Any] = {}
    for each, value in source.parameters.items():
        name = former.get(each, each)
        if name in parameters:
            raise TypeError(f"{name} is there twice")
        parameters[name] = typed(value, hints[name])
    return parameters


def restored_columns(source: Artifact) -> TableEncoder:
    """The columns of a table's model.

    Raises:
        ModelFileError: the columns do not fit the model's number of features, or a name occurs twice.
        TypeError, KeyError: the file describes no valid columns.
    """
    encoder = TableEncoder.from_json(source.encoding["columns"])
    names = [column.name for column in encoder.columns]
    if (encoder.width,) != source.spec.shape or len(set(names)) < len(names):
        raise ModelFileError(f"its columns give {encoder.width} features, its model has {source.spec.shape}")
    return encoder


def restored_pixels(source: Artifact, size: Any) -> tuple[str, Any]:
    """Pixel unit and sample shape of a model for images or video.

    Args:
        source: the file's contents.
        size: height and width to scale to; anything but a tuple means no scaling.

    Raises:
        ModelFileError: they do not fit the model.
        TypeError, KeyError: they are missing or of the wrong type.
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
    """The format of the training videos of a model; None if the file has none.

    Raises:
        ModelFileError: a value of the format is out of range.
        TypeError, KeyError: it is not a video format.
    """
    restored: VideoFormat | None = typed(source.encoding.get("video_format"), VideoFormat | None)
    if restored and not all(0 < each < 10**6 for each in restored if each is not None):
        raise ModelFileError(f"its videos have (height, width, rate) = {tuple(restored)}")
    return restored


def check_clips(shape: tuple[int, ...], channels: int, length: int, score_step: int, smooth: int) -> None:
    """Refuses parameters that do not fit the model's clips `(c, t, h, w)`.

    Raises:
        ModelFileError: they do not fit, or are out of range.
    """
    if (channels, length) != shape[:2] or not 1 <= score_step < 10**6 or not (1 <= smooth < 10**6 and smooth % 2):
        raise ModelFileError(
            f"its {channels} channels, length {length}, score_step {score_step} or smooth {smooth} do not fit clips "
            f"of {shape}"
        )
