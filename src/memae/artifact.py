"""The model file: one safetensors file with a JSON header. Nothing in it can run code."""

import json
import math
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialise
from torch import Tensor

from memae.calibration import Calibration
from memae.data.samples import digest
from memae.errors import ModelFileError
from memae.files import replacing
from memae.model import MemorySpec, Spec, build
from memae.options import Epoch, epoch_as_json, epoch_from_json
from memae.scoring import Scorer

FORMAT = 1
"""Version of the file format; files of a higher one are refused."""


@dataclass(frozen=True)
class Artifact:
    """All that a fitted detector is."""

    kind: str  # table, image or video
    spec: Spec
    scorer: Scorer
    parameters: dict[str, Any]  # of the estimator
    encoding: dict[str, Any]  # how the kind's raw data become samples
    history: tuple[Epoch, ...]
    best: int  # position in it of the epoch whose weights were kept
    checksum: str  # sha256 of the training data
    versions: dict[str, str]  # of what it was fitted with


def save(artifact: Artifact, path: str | Path) -> None:
    """Writes a model file, whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    scorer = artifact.scorer
    tensors = {name: value.detach().cpu().contiguous() for name, value in scorer.state_dict().items()}
    header = {
        "format": FORMAT,
        "kind": artifact.kind,
        "spec": asdict(artifact.spec),
        "scorer": {
            "reduction": scorer.reduction,
            "criterion": scorer.criterion,
            "limit": scorer.limit if math.isfinite(scorer.limit) else None,
            "chunk": scorer.chunk,
            "calibrated": scorer.calibration is not None,
        },
        "parameters": artifact.parameters,
        "encoding": artifact.encoding,
        "history": [epoch_as_json(epoch) for epoch in artifact.history],
        "best": artifact.best,
        "checksum": artifact.checksum,
        "versions": artifact.versions,
    }
    # One entry, since safetensors does not keep the order of several; and bytes, so that a full disk is an OSError.
    content = serialise(tensors, {"memae": json.dumps(header | {"sha256": _seal(header, tensors)}, sort_keys=True)})
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def load(path: str | Path) -> Artifact:
    """Reads a model file.

    Raises:
        ModelFileError: the file is missing, foreign, damaged, or of a newer format.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelFileError(f"{path} is not a file; give a model that `memae fit` or `save` has written")
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelFileError(f"{path} is damaged or not a model file ({error}); copy it again or fit anew") from error
    if "memae" not in metadata:
        raise ModelFileError(
            f"{path} is a safetensors file, but not one of memae; give one that `memae fit` has written"
        )
    try:
        header = json.loads(metadata["memae"])
        newer = header["format"] > FORMAT
        if not newer and header.pop("sha256") == _seal(header, tensors):
            return _assemble(header, tensors)
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        raise ModelFileError(
            f"{path} is damaged: its header does not fit ({error}); copy it again or fit anew"
        ) from error
    if newer:
        raise ModelFileError(
            f"{path} has format {header['format']}, this memae ({version('memae')}) reads up to {FORMAT}; upgrade memae"
        )
    raise ModelFileError(f"{path} is damaged: its checksum does not fit; copy it again or fit anew")


def _assemble(header: dict[str, Any], tensors: dict[str, Tensor]) -> Artifact:
    spec = _spec(header["spec"])
    with torch.random.fork_rng(devices=[]):  # fresh weights are drawn, and replaced
        model = build(spec).to(tensors["model.decoder.0.weight"].dtype)
    about = header["scorer"]
    scorer = Scorer(
        model,
        tensors["center"],
        tensors["scale"],
        reduction=about["reduction"],
        criterion=about["criterion"],
        limit=math.inf if about["limit"] is None else about["limit"],
        chunk=about["chunk"],
        references=tensors.get("references"),
        rows=tensors.get("rows"),
    )
    if about["calibrated"]:
        scorer.calibration = Calibration(tensors["calibration.scores"], float(tensors["calibration.rate"]))
    scorer.load_state_dict(tensors)
    scorer.eval()
    return Artifact(
        kind=header["kind"],
        spec=spec,
        scorer=scorer,
        parameters=header["parameters"],
        encoding=header["encoding"],
        history=tuple(epoch_from_json(epoch) for epoch in header["history"]),
        best=header["best"],
        checksum=header["checksum"],
        versions=header["versions"],
    )


def _spec(data: dict[str, Any]) -> Spec:
    memory = data["memory"]
    return Spec(
        shape=tuple(data["shape"]),
        widths=tuple(data["widths"]),
        strides=tuple(tuple(stride) for stride in data["strides"]),
        memory=None if memory is None else MemorySpec(**memory),
        turns=data["turns"],
        columns=tuple(data["columns"]),
        paces=tuple(data.get("paces", ())),  # files written before clips had paces lack it
    )


def _seal(header: dict[str, Any], tensors: dict[str, Tensor]) -> str:
    """Checksum of header and tensors, against damage that leaves the file readable."""
    forms = {name: f"{value.dtype} {tuple(value.shape)}" for name, value in tensors.items()}
    text = json.dumps([header, forms], sort_keys=True)
    return digest([text.encode(), *(tensors[name] for name in sorted(tensors))])


def versions() -> dict[str, str]:
    """Versions of what scores depend on."""
    names = ("memae", "torch", "numpy", "safetensors")
    return {"python": platform.python_version()} | {name: version(name) for name in names}
