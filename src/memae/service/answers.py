"""Schemas of request and response bodies for the OpenAPI document; requests are not validated against them."""

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, Field

from memae.service.served import Served
from memae.service.uploads import FORM, JSON, TYPES


class Error(BaseModel):
    """Why a request was not answered."""

    error: str = Field(description="One sentence: the value, what was expected, what to do.")


class Region(BaseModel):
    """A connected part of a photo whose map lies above the threshold of pixels, and the box around it, in pixels."""

    top: int
    left: int
    bottom: int = Field(description="The first row below it.")
    right: int = Field(description="The first column right of it.")
    peak: float | None = Field(description="The highest value of the map in it.")
    area: int = Field(description="Number of its pixels.")
    p_value: float | None = Field(None, description="Share of normal photos whose map has a peak as high.")


class Verdict(BaseModel):
    """The result for one sample."""

    row: int | None = Field(None, description="Number of the row of a table, from 0.")
    file: str | None = Field(None, description="Name of the image file, as sent.")
    frame: int | None = Field(None, description="Number of the frame of a video, from 0.")
    time: float | None = Field(None, description="Time of the frame in seconds from the first one.")
    score: float | None = Field(description="Anomaly score; higher = more anomalous.")
    p_value: float | None = Field(description="Share of normal samples that score as high: small = unlike normal.")
    is_anomaly: bool | None = Field(description="Whether the score is above the threshold.")
    threshold: float | None = Field(None, description="Models by group: that of its group.")
    shared: bool | None = Field(None, description="Models by group: true if its group has the shared model.")
    reason: str | None = Field(None, description="Models by group: why there is no score.")
    regions: list[Region] | None = Field(None, description="Photos: where it is anomalous; the highest peak first.")


class Unread(BaseModel):
    """A file that could not be read, where others could."""

    sample: int = Field(description="Its number among the files sent, from 0.")
    file: str = Field(description="Its name, as sent.")
    reason: str


class Scored(BaseModel):
    """Scores of all samples, in order."""

    model: str
    threshold: float | None = Field(description="Score above which a sample is flagged.")
    false_alarm_rate: float | None = Field(description="Share of normal samples that are flagged by chance.")
    samples: list[Verdict]
    unread: list[Unread] = Field([], description="Files that could not be read; absent if all could.")
    left_out: list[str] = Field([], description="Columns that the model does not know; absent if there are none.")


class Contribution(BaseModel):
    """What one column adds to a score."""

    column: str
    value: Any = Field(description="As given; null if missing.")
    expected: Any = Field(description="The value that the model expects, given the other columns and its memory.")
    share: float = Field(description="Its share in the sum of all columns.")


class Neighbour(BaseModel):
    """A training sample that lies near a memory item."""

    sample: str
    distance: float = Field(description="1 - cosine similarity.")
    thumbnail: str | None = Field(description="data:image/png;base64,…")


class Place(BaseModel):
    """A place of a photo that is compared with a kept patch."""

    picture: str = Field(description="It and what surrounds it: data:image/png;base64,…")
    row: int = Field(description="In pixels of the photo.")
    column: int
    strength: float = Field(description="Of the map there: 1 is the threshold of pixels.")


class Item(BaseModel):
    """A memory item that the sample addressed."""

    number: int
    sample: str | None = Field(description="The training sample that it is; null if the item formed in training.")
    weight: float = Field(description="Its addressing weight, 0 to 1.")
    decoded: Any = Field(description="What the item alone decodes to: a picture, the columns of a row, or null.")
    place: Place | None = Field(None, description="Photos: the place of which it is the nearest kept patch.")
    neighbours: list[Neighbour]


class Evidence(Verdict):
    """Why a sample has its score. Pictures are data:image/png;base64,… and null for tables."""

    threshold: float | None
    contributions: list[Contribution] = Field(description="Largest first; empty for images and frames.")
    items: list[Item] = Field(description="Largest weight first; empty for a plain autoencoder.")
    sample: str | None
    reconstruction: str | None
    motion: str | None = Field(description="For video: the change to the next frame, which is what is reconstructed.")
    error_map: str | None = Field(description="Of photos, the photo under it, with a box around each region.")


class Explained(BaseModel):
    """The evidence for the requested samples."""

    model: str
    samples: list[Evidence]
    unread: list[Unread] = Field([], description="Files that could not be read; absent if all could.")
    left_out: list[str] = Field([], description="Columns that the model does not know; absent if there are none.")


class Column(BaseModel):
    """A column of a table."""

    name: str
    kind: str = Field(description="number, category or hour")


class Model(BaseModel):
    """A model that the service has."""

    name: str
    kind: str = Field(description="table, image or video")
    threshold: float | None
    false_alarm_rate: float | None
    calibration_samples: int | None = Field(None, description="Number of normal samples behind threshold and p-values.")
    held_out_samples: int | None = Field(None, description="The former name of calibration_samples.")
    by: list[str] | None = Field(None, description="Models by group: the columns that tell groups.")
    groups: int | None = Field(None, description="Models by group: their number.")
    takes: str
    suffixes: list[str]
    data_sha256: str
    versions: dict[str, str]
    columns: list[Column] | None = Field(None, description="For tables.")
    channels: int | None = Field(None, description="For images and video: 1 grey, 3 colour.")
    height: int | None = None
    width: int | None = None
    tiled: bool | None = Field(None, description="Images: whether they are photos of any size, seen in tiles.")
    scaled: bool | None = Field(None, description="Pictures: whether others are scaled to this size, or refused.")
    least_frames: int | None = Field(None, description="Video.")


class Models(BaseModel):
    """All models that the service has."""

    models: list[Model]


class Health(BaseModel):
    """Whether the service answers."""

    status: str = Field(description="ok, or stopping")


ABOUT = """Anomaly detection: give samples, read how unlike normal they are, and why.

A model takes one kind of data. Tables: rows of JSON, or a CSV or Parquet file. Images: one or several files.
Video: one file."""

REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": Error, "description": description}
    for status, description in {
        401: "The token is missing or wrong.",
        403: "The Host header is not localhost, and the service has no token.",
        404: "No model of this name.",
        408: "The body did not come in time.",
        413: "Too large: bytes, pixels, columns or samples.",
        415: "The Content-Type is not supported.",
        422: "The data cannot be used.",
        429: "Too many requests at once; see Retry-After.",
        503: "Not done in time, or the service stops; see Retry-After.",
    }.items()
}


def of(shape: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    """The responses of a route by status: `shape` for 200, and all refusals."""
    return {200: {"model": shape, "content": {JSON: {}}}, **REFUSALS}


def request_body(models: Iterable[Served]) -> dict[str, Any]:
    """The request body of `/score` and `/explain`; with a single table model, it has its columns and an example row."""
    tables = [(schema, served.example()) for served in models if (schema := served.row_schema())]
    row = tables[0][0] if len(tables) == 1 else {"type": "object"}
    rows = {
        "type": "object",
        "required": ["rows"],
        "additionalProperties": False,
        "properties": {
            "rows": {
                "type": "array",
                "minItems": 1,
                "items": {"anyOf": [row, {"type": "array"}]},
                "description": "Rows of a table: objects by column, or lists in the order of the columns.",
            }
        },
    }
    example = {"rows": [tables[0][1] if tables else {"length": 1.5, "shop": "a"}]}
    file = {"type": "string", "format": "binary"}
    form = {
        "type": "object",
        "required": ["files"],
        "additionalProperties": False,
        "properties": {"files": {"type": "array", "minItems": 1, "items": file}},
    }
    content: dict[str, Any] = {
        JSON: {"schema": rows, "examples": {"one row": {"value": example}}},
        FORM: {"schema": form},
        **{kind: {"schema": file} for kind in TYPES},
    }
    return {"requestBody": {"required": True, "content": content}}
