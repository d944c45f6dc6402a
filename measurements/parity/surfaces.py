"""The ways to a score."""

import csv
import json
import runpy
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from measurements.parity.cases import Case
from measurements.service.process import Table, serving
from memae import VideoMemAE, load
from memae.data.streams import View, read_source
from memae.deployment import export
from memae.engines.graphs import ANSWERS, PLACES
from memae.engines.runtimes import Run, with_openvino
from memae.errors import OptionError
from memae.estimators import Estimator
from memae.kinds import Notes
from memae.report.looks import look_at
from memae.scoring import Floats, calibration
from memae.watch.watching import Watched, rule_of, watch
from recording import records

EXAMPLE = records.ROOT / "examples" / "onnx_alone.py"


class Judged(NamedTuple):
    """The results of a surface for the samples."""

    score: Floats
    is_anomaly: NDArray[np.bool_]


def in_python(case: Case) -> Judged:
    """Arrays and a DataFrame: the reference for all others."""
    return _judged(case.detector, case.samples)


def from_files(case: Case) -> Judged:
    """The estimator, given paths."""
    return _judged(case.detector, case.source)


def from_the_model_file(case: Case) -> Judged:
    """Saved and loaded."""
    return _judged(load(case.model), case.samples)


def by_an_engine(case: Case) -> Judged:
    """Loaded, its network computed by ONNX Runtime."""
    return _judged(load(case.model).use_engine("onnxruntime"), case.samples)


def by_command(case: Case) -> Judged:
    """`memae score`."""
    memae = Path(sys.executable).with_name("memae")
    return _printed_by([str(memae), "score", str(case.model), str(case.source)])


def over_http(case: Case) -> Judged:
    """`memae serve`: a request with the table or film, or one an image."""
    rows = []
    with serving(Table(case.model, b""), "--max-seconds", "300") as service:
        for path in sorted(case.source.iterdir()) if case.source.is_dir() else [case.source]:
            request = urllib.request.Request(service.score, path.read_bytes(), {"Content-Type": case.kind})  # noqa: S310
            with urllib.request.urlopen(request) as answer:  # noqa: S310 (our own service)
                rows += json.load(answer)["samples"]
    return Judged(np.array([row["score"] for row in rows]), np.array([row["is_anomaly"] for row in rows]))


def by_onnx_runtime(case: Case) -> Judged:
    """`memae export`, and the example in a process of its own."""
    path = case.model.with_suffix(".onnx")
    export(case.detector, path)
    return _printed_by([sys.executable, str(EXAMPLE), str(path), str(case.raw)])


def by_openvino(case: Case) -> Judged:
    """The same for OpenVINO, with the example's lines for frames of films.

    Raises:
        OptionError: float32 is not enough.
    """
    path = case.model.with_suffix(".xml")
    about = export(case.detector, path).description
    run = with_openvino(path.read_bytes(), path.with_suffix(".bin").read_bytes())
    if about.kind == "table":
        score, _, is_anomaly, _ = run(case.detector.encode(case.samples).numpy())
        return Judged(score, is_anomaly)
    raw = np.load(case.raw).astype(about.dtype)
    if about.kind == "image":
        score, _, is_anomaly, _ = run(raw)
        return Judged(score, is_anomaly)
    alone = runpy.run_path(str(EXAMPLE))
    score, _, is_anomaly = alone["of_frames"](_Session(run), raw, json.loads(about.as_json()))
    return Judged(score, is_anomaly)


def by_explaining(case: Case) -> Judged:
    """The evidence of every sample."""
    evidence = list(load(case.model).explain(case.source, items=0))
    return Judged(np.array([each.score for each in evidence]), np.array([each.is_anomaly for each in evidence]))


def by_report(case: Case) -> Judged:
    """The counts of `memae report`."""
    detector = load(case.model)
    parts = look_at(detector, detector.kind_, case.source, Notes()).scored()
    judged = calibration.Judged.joined(part.judged for part in parts)
    return Judged(judged.score.numpy(), judged.is_anomaly.numpy())


def by_watching(case: Case) -> Judged:
    """`memae watch`.

    Raises:
        OptionError: the samples are no frames.
    """
    detector = load(case.model)
    if not isinstance(detector, VideoMemAE):
        raise OptionError("only video is watched")
    shots = read_source(str(case.source), View(detector.channels, detector.size_), Event())
    frames = [item for item in watch(detector, shots) if isinstance(item, Watched)]
    above = rule_of(detector).above
    return Judged(np.array([each.score for each in frames]), np.array([each.score > above for each in frames]))


SURFACES: dict[str, Callable[[Case], Judged]] = {
    "Python, files": from_files,
    "model file": from_the_model_file,
    "`--engine onnxruntime`": by_an_engine,
    "command line": by_command,
    "HTTP": over_http,
    "`memae explain`": by_explaining,
    "`memae report`": by_report,
    "`memae watch`": by_watching,
    "exported, ONNX Runtime": by_onnx_runtime,
    "exported, OpenVINO": by_openvino,
}


class _Named(NamedTuple):
    name: str


class _Session:
    """OpenVINO as the example knows ONNX Runtime."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._names = (*ANSWERS, PLACES)

    def get_outputs(self) -> list[_Named]:
        return [_Named(name) for name in self._names]

    def run(self, names: list[str], inputs: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
        found = dict(zip(self._names, self._run(np.ascontiguousarray(inputs["raw"])), strict=True))
        return [found[name] for name in names]


def _judged(detector: Estimator, samples: Any) -> Judged:
    score = detector.anomaly_score(samples)
    return Judged(score, score > detector.threshold_)


def _printed_by(command: list[str]) -> Judged:
    """The columns of the CSV that a command prints."""
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    rows = list(csv.DictReader(done.stdout.splitlines()))
    flagged = np.array([row["is_anomaly"] in ("1", "True") for row in rows])
    return Judged(np.array([float(row["score"]) for row in rows]), flagged)
