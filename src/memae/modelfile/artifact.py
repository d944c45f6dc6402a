"""The model file: one safetensors file with a JSON header. Nothing in it can run code."""

import json
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load as deserialise
from safetensors.torch import save as serialise
from torch import Tensor

from memae.data.samples import digest
from memae.errors import ModelFileError
from memae.evidence import Examples
from memae.files import replacing
from memae.modelfile.assembly import about, examples_of, scorer_of
from memae.modelfile.migration import migrated
from memae.options import Epoch, epoch_as_json
from memae.scoring import Scorer
from memae.spec import Spec, laid_out
from memae.typed import typed

FORMAT = 4
"""Version of the file format; newer files are refused, those of formats 1 and 2 go through `migration`. Format 3 is as
this one, but has no memory of kept samples."""

PARQUET = b"PAR1"
"""First bytes of a Parquet file; those of a model file are a number of which this would be too large a value."""


@dataclass(frozen=True)
class Artifact:
    """Everything that a fitted detector consists of."""

    kind: str  # table, image or video
    spec: Spec
    scorer: Scorer
    parameters: dict[str, Any]  # of the estimator
    encoding: dict[str, Any]  # how raw data become samples
    history: tuple[Epoch, ...]
    best: int  # index in `history` of the epoch whose weights were kept
    checksum: str  # sha256 of the training data
    versions: dict[str, str]  # package → version at the time of fitting
    examples: Examples | None = None  # training samples kept for explanations
    learned: int = 0  # number of training samples; 0 if unknown (older files)


def save(artifact: Artifact, path: str | Path) -> None:
    """Writes a model file, whole or not at all.

    Raises:
        OutputError: the file cannot be written.
    """
    content = dumped(artifact)
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def dumped(artifact: Artifact) -> bytes:
    """The content of a model file."""
    scorer = artifact.scorer
    tensors = {name: value.detach().cpu().contiguous() for name, value in scorer.state_dict().items()}
    header = {
        "format": FORMAT,
        "kind": artifact.kind,
        "spec": asdict(artifact.spec),
        "scorer": about(scorer),
        "parameters": artifact.parameters,
        "encoding": artifact.encoding,
        "history": [epoch_as_json(epoch) for epoch in artifact.history],
        "best": artifact.best,
        "checksum": artifact.checksum,
        "learned": artifact.learned,
        "versions": artifact.versions,
    }
    if artifact.examples is not None:
        header["examples"] = list(artifact.examples.names)
        tensors |= _tensors(artifact.examples)
    # One entry, since safetensors does not keep the order of several; bytes, so that a full disk raises OSError.
    return serialise(tensors, {"memae": json.dumps(header | {"sha256": seal(header, tensors)}, sort_keys=True)})


def load(source: str | Path | bytes) -> Artifact:
    """Reads a model file, given as its path or its content.

    Raises:
        ModelFileError: the file is missing, foreign, damaged, or of a newer format.
    """
    path = named(source)
    try:
        metadata, tensors = _content(source)
    except (SafetensorError, OSError, ValueError) as error:
        if _start(source) == PARQUET:
            raise ModelFileError(
                f"{path} is a Parquet file; if it holds the models of many groups, take one, memae.shelf(…)[KEY] or "
                f"`memae inspect {path} --group KEY -o MODEL`; score, serve and inspect take all"
            ) from error
        raise ModelFileError(f"{path} is damaged or not a model file ({error}); copy it again or refit") from error
    if "memae" not in metadata:
        raise ModelFileError(
            f"{path} is a safetensors file, but not one of memae; give one that `memae fit` has written"
        )
    with doubted(path):
        header = json.loads(metadata["memae"])
        newer = header["format"] > FORMAT
        if not newer and header.pop("sha256") == seal(header, tensors):
            return _assemble(*migrated(header, tensors))
    if newer:
        raise ModelFileError(
            f"{path} has format {header['format']}, this memae ({version('memae')}) reads up to {FORMAT}; upgrade memae"
        )
    raise ModelFileError(f"{path} is damaged: its checksum does not match; copy it again or refit")


def _start(source: str | Path | bytes) -> bytes:
    """The first bytes of a file."""
    if isinstance(source, bytes):
        return source[: len(PARQUET)]
    with Path(source).open("rb") as file:
        return file.read(len(PARQUET))


def named(source: str | Path | bytes) -> str:
    """What errors call a model file.

    Raises:
        ModelFileError: there is no such file.
    """
    if isinstance(source, bytes):
        return f"the model of {len(source)} bytes"
    if not Path(source).is_file():
        raise ModelFileError(f"{source} is not a file; give a model that `memae fit` or `save` has written")
    return str(source)


def _content(source: str | Path | bytes) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Metadata and tensors of a safetensors file."""
    if isinstance(source, bytes):
        tensors = deserialise(source)  # which checks the header
        header = json.loads(source[8 : 8 + int.from_bytes(source[:8], "little")])
        return header.get("__metadata__", {}), tensors
    with safe_open(source, "pt") as file:
        return file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no dict)


@contextmanager
def doubted(path: str | Path) -> Iterator[None]:
    """Context for reading an untrusted header: reports any error but MemoryError as damage to the file.

    Raises:
        ModelFileError: reading failed.
    """
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:  # a header can be wrong in any way
        raise ModelFileError(f"{path} is damaged: its header is invalid ({error}); copy it again or refit") from error


def _assemble(header: dict[str, Any], tensors: dict[str, Tensor]) -> Artifact:
    spec: Spec = typed(header["spec"], Spec)
    kept = {name: tensors.pop(name) for name in list(tensors) if name.startswith("examples.")}
    scorer = scorer_of(spec, header["scorer"], tensors)
    if header["format"] > 2:  # as it was fitted, to the last bit; models of older files were always read as they lie
        laid_out(scorer.model, spec)
    history: tuple[Epoch, ...] = typed(header["history"], tuple[Epoch, ...])
    best: int = typed(header["best"], int)
    if not 0 <= best < len(history):
        raise ModelFileError(f"it has no epoch {best}")
    return Artifact(
        kind=typed(header["kind"], str),
        spec=spec,
        scorer=scorer,
        parameters=typed(header["parameters"], dict),
        encoding=typed(header["encoding"], dict),
        history=history,
        best=best,
        checksum=typed(header["checksum"], str),
        versions=typed(header["versions"], dict),
        examples=examples_of(header.get("examples"), kept, 0 if spec.memory is None else spec.memory.items),
        learned=typed(header.get("learned", 0), int),
    )


def _tensors(examples: Examples) -> dict[str, Tensor]:
    """The tensors of examples by their names in the file."""
    tensors = {"examples.index": examples.index, "examples.distance": examples.distance}
    return tensors if examples.thumbnails is None else tensors | {"examples.thumbnails": examples.thumbnails}


def seal(header: dict[str, Any], tensors: dict[str, Tensor]) -> str:
    """Checksum of header and tensors, which detects damage that leaves the file readable."""
    forms = {name: f"{value.dtype} {tuple(value.shape)}" for name, value in tensors.items()}
    text = json.dumps([header, forms], sort_keys=True)
    return digest([text.encode(), *(tensors[name] for name in sorted(tensors))])


def versions() -> dict[str, str]:
    """Versions of the packages that scores depend on."""
    return dict(_versions())


@cache
def _versions() -> Mapping[str, str]:
    names = ("memae", "torch", "numpy", "safetensors")
    return {"python": platform.python_version()} | {name: version(name) for name in names}
