"""Reads an estimator's part of a model file and checks it against the model in that file."""

from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np
from numpy.random import RandomState
from torch import nn

from memae.data.dialects import Dialect
from memae.data.formats import VideoFormat
from memae.data.roles import Roles
from memae.data.tables import TableEncoder
from memae.data.windows import Windows
from memae.errors import ModelFileError, OptionError
from memae.modelfile.artifact import Artifact
from memae.parameters import Common, former_names
from memae.parameters import parameters_of as of_kind
from memae.typed import typed


def parameters_of(source: Artifact, kind: type[Common]) -> dict[str, Any]:
    """The estimator's parameters in a file, converted to the types of the fields, under their current names.

    Raises:
        TypeError, KeyError: a parameter has the wrong type, is unknown, or is there under its former name as well.
    """
    hints, former = _hints(kind), former_names(kind)  # type: ignore[arg-type]
    parameters: dict[str, Any] = {}
    for each, value in source.parameters.items():
        name = former.get(each, each)
        if name in parameters:
            raise TypeError(f"{name} is there twice")
        parameters[name] = typed(value, hints[name])
    return parameters


def check_types(estimator: Common) -> None:
    """Refuses parameters that a model file could not restore, before anything is read or trained.

    Raises:
        OptionError: a parameter has the wrong type, or is none of its choices.
    """
    for name, hint in _hints(type(estimator)).items():  # type: ignore[arg-type]
        value = getattr(estimator, name)
        try:
            typed(without_numpy(value), hint)
        except TypeError as error:
            raise OptionError(f"{name} must be {_expected(hint)}; got {value!r}") from error


def without_numpy(value: Any) -> Any:
    """Numbers and lists of NumPy as Python's own, inside of lists too."""
    if isinstance(value, list | tuple):
        return [without_numpy(each) for each in value]
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else value


@cache
def _hints(kind: Any) -> dict[str, Any]:
    """The type of each parameter."""
    hints = get_type_hints(kind.__init__, localns={"RandomState": RandomState, "Path": Path, "nn": nn})
    return {each.name: hints[each.name] for each in of_kind(kind)}


def _expected(hint: Any) -> str:
    """A type in words."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        sizes = [each for each in inner if get_origin(each) is tuple]
        return _expected(sizes[0]) if sizes else " or ".join(map(_expected, inner))
    if origin is tuple:
        return "height and width, as (64, 64)"
    if origin is Literal:
        return " or ".join(map(repr, inner))
    if origin is not None:
        return "a list"
    words = {
        int: "a whole number",
        float: "a number",
        bool: "True or False",
        str: "a text",
        NoneType: "None",
        Path: "a path",
    }
    return words.get(hint, f"a {hint.__name__}")


def restored_columns(source: Artifact) -> tuple[TableEncoder, Roles, Windows | None]:
    """The columns of a table's model, what becomes of the user's columns, and windows of rows if it has such.

    Before there were roles, all columns were taken.

    Raises:
        ModelFileError: the columns do not fit the model's number of features, the roles, or a name occurs twice.
        TypeError, KeyError: the file describes no valid columns.
    """
    encoder = TableEncoder.from_json(source.encoding["columns"])
    names = [column.name for column in encoder.columns]
    if (encoder.width,) != source.spec.shape or len(set(names)) < len(names):
        raise ModelFileError(f"its columns give {encoder.width} features, its model has {source.spec.shape}")
    roles = Roles.from_json(source.encoding["roles"]) if "roles" in source.encoding else Roles.plain(encoder)
    windows = Windows.from_json(source.encoding["windows"]) if "windows" in source.encoding else None
    if windows is None:
        roles.check(names)
        return encoder, roles, None
    roles.check([column.name for column in windows.rows.columns])
    if windows.columns != names:
        raise ModelFileError(f"its windows give {len(windows.columns)} columns, its model has {len(names)}")
    return encoder, roles, windows


def restored_dialect(source: Artifact) -> Dialect:
    """How the training file of a table's model was written; nothing is known if it was no text.

    Raises:
        ModelFileError: a value is not possible.
        TypeError: it is no dialect.
    """
    fields = dict.fromkeys(Dialect.__dataclass_fields__)
    try:
        restored: Dialect = typed(fields | dict(source.encoding.get("dialect", {})), Dialect)
    except (OptionError, ValueError) as error:
        raise ModelFileError(f"its dialect is not possible: {error}") from error
    return restored


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
    seen = source.spec.raw
    if shape != seen or len(shape) != axes or shape[0] not in (1, 3):
        raise ModelFileError(f"its samples are {shape}, its model is for {seen}")
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


def restored_step(source: Artifact, score_step: int | None) -> int:
    """Frames from one scored clip to the next of a model; files of former versions have the parameter alone.

    Raises:
        ModelFileError: the parameter is out of range.
        TypeError: it is no whole number.
    """
    if score_step is not None and score_step < 1:
        raise ModelFileError(f"its score_step is {score_step}")
    step: int = typed(source.encoding.get("step", score_step or 1), int)
    return step


def restored_worth(source: Artifact) -> int | None:
    """Number of independent scores that the calibration is worth; None in files of former versions.

    Raises:
        ModelFileError: it is out of range.
        TypeError: it is no whole number.
    """
    worth: int | None = typed(source.encoding.get("independent"), int | None)
    if worth is not None and not 1 <= worth < 10**9:
        raise ModelFileError(f"its calibration is worth {worth} independent scores")
    return worth


def check_clips(shape: tuple[int, ...], channels: int, length: int, score_step: int, smooth: int) -> None:
    """Refuses parameters that do not fit the model's clips `(c, t, h, w)`.

    Args:
        shape: of a clip.
        channels: as the parameter.
        length: as the parameter, or 1 for a memory of single frames.
        score_step: frames from one scored clip to the next.
        smooth: as the parameter.

    Raises:
        ModelFileError: they do not fit, or are out of range.
    """
    if (channels, length) != shape[:2] or not 1 <= score_step < 10**6 or not (1 <= smooth < 10**6 and smooth % 2):
        raise ModelFileError(
            f"its {channels} channels, length {length}, score_step {score_step} or smooth {smooth} do not fit clips "
            f"of {shape}"
        )
