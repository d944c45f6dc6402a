"""The shapes of bodies and answers, for the OpenAPI document; nothing is checked against them at work."""

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, Field

from memae.service.served import Served
from memae.service.uploads import FORM, JSON, TYPES


class Error(BaseModel):
    """Why a request was not answered."""

    error: str = Field(description="One sentence: the value, what was expected, what to do.")


class Verdict(BaseModel):
    """What every sample is told, scored or explained."""

    row: int | None = Field(None, description="Number of the row of a table, from 0.")
    file: str | None = Field(None, description="Name of the picture, as it came.")
    frame: int | None = Field(None, description="Number of the frame of a video, from 0.")
    time: float | None = Field(None, description="Seconds of the frame from the first one.")
    score: float = Field(description="Anomaly score; higher = more anomalous.")
    p_value: float = Field(description="Share of normal samples that score as high: small = unlike normal.")
    is_anomaly: bool = Field(description="Whether the score is above the threshold.")


class Unread(BaseModel):
    """A file that could not be read, where others could."""

    sample: int = Field(description="Its number among the files that came, from 0.")
    file: str = Field(description="Its name, as it came.")
    reason: str


class Scored(BaseModel):
    """Scores of all samples, in their order."""

    model: str
    threshold: float | None = Field(description="Score above which a sample is flagged.")
    false_alarm_rate: float = Field(description="Share of normal samples that is flagged by chance.")
    samples: list[Verdict]
    unread: list[Unread] = Field([], description="Files without a sample here; left out where all could be read.")


class Contribution(BaseModel):
    """What one column adds to a score."""

    column: str
    value: Any = Field(description="As given; null where it is missing.")
    expected: Any = Field(description="What the other columns, by way of the memory, lead to expect.")
    share: float = Field(description="Of what all columns add.")


class Neighbour(BaseModel):
    """A training sample that lies near a memory item."""

    sample: str
    distance: float = Field(description="1 - cosine similarity.")
    thumbnail: str | None = Field(description="data:image/png;base64,…")


class Item(BaseModel):
    """A memory item that the sample addressed."""

    number: int
    weight: float = Field(description="Its share of the answer, 0 to 1.")
    decoded: Any = Field(description="What it decodes to alone: a picture, the columns of a row, or null.")
    neighbours: list[Neighbour]


class Evidence(Verdict):
    """Why a sample has its score. Pictures are data:image/png;base64,… and null for tables."""

    threshold: float | None
    contributions: list[Contribution] = Field(description="Largest first; empty for pictures.")
    items: list[Item] = Field(description="Heaviest first; empty for a plain autoencoder.")
    sample: str | None
    reconstruction: str | None
    motion: str | None = Field(description="Of video: the change to the next frame, which `reconstruction` restores.")
    error_map: str | None


class Explained(BaseModel):
    """The evidence of the samples that were asked for."""

    model: str
    samples: list[Evidence]
    unread: list[Unread] = Field([], description="Files without evidence; left out where all could be read.")


class Column(BaseModel):
    """A column of a table."""

    name: str
    kind: str = Field(description="number or category")


class Model(BaseModel):
    """A model that the service has."""

    name: str
    kind: str = Field(description="table, image or video")
    threshold: float | None
    false_alarm_rate: float
    held_out_samples: int = Field(description="Normal samples that threshold and p-values come from.")
    takes: str
    suffixes: list[str]
    data_sha256: str
    versions: dict[str, str]
    columns: list[Column] | None = Field(None, description="Tables.")
    channels: int | None = Field(None, description="Pictures and video: 1 grey, 3 colour.")
    height: int | None = None
    width: int | None = None
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
        403: "Asked under a foreign name, without a token.",
        404: "No model of this name.",
        408: "The body did not come in time.",
        413: "Too large: bytes, pixels, columns or samples.",
        415: "A Content-Type that is not known.",
        422: "The data cannot be used.",
        429: "Too many requests at once; see Retry-After.",
        503: "Not done in time, or the service stops; see Retry-After.",
    }.items()
}


def of(shape: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    """Everything that a route may answer, where `shape` is what was hoped for."""
    return {200: {"model": shape, "content": {JSON: {}}}, **REFUSALS}


def request_body(models: Iterable[Served[Any]]) -> dict[str, Any]:
    """What `/score` and `/explain` take; where there is one model for tables, with its columns and an example row."""
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
