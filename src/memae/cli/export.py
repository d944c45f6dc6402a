"""`memae export`: writes a model as a file for other engines."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from memae.cli.reading import Ignored, read_as, reads_tables
from memae.cli.score import FalseAlarms, Model

if TYPE_CHECKING:
    from memae.data.dialects import Dialect


@reads_tables
def export(
    model: Model,
    output: Annotated[
        Path | None,
        typer.Argument(help="File to write: .onnx, or .xml for OpenVINO (with a .bin).", show_default=False),
    ] = None,
    triton: Annotated[
        Path | None,
        typer.Option(help="Folder to write instead, for a model repository of Triton: 1/model.onnx and config.pbtxt."),
    ] = None,
    check: Annotated[
        Path | None, typer.Option(help="Data to compare the file's outputs on, besides generated samples.")
    ] = None,
    ignore: Ignored = [],  # noqa: B006 (typer's way)
    false_alarm_rate: FalseAlarms = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON summary.")] = False,
    *,
    dialect: "Dialect",
) -> None:
    """Export a model to ONNX or OpenVINO: raw samples to score, p-value, alarm and error map, in one graph.

    The file runs without memae and torch. It is only written if its outputs agree with those of memae.

    Example: memae export model.memae model.onnx --check new.csv
    """
    from memae.cli.paths import check_apart
    from memae.deployment import export as write
    from memae.deployment.triton import export_triton
    from memae.errors import OptionError
    from memae.estimators import load

    target = output if output is not None else triton
    if target is None or (output is not None and triton is not None):
        raise OptionError("give a file to write (.onnx or .xml), or --triton FOLDER")
    if output is not None:
        for written in (output, output.with_suffix(".bin")) if output.suffix.lower() == ".xml" else (output,):
            check_apart(written, model, check)
    detector = load(model)
    read_as(detector, dialect)
    if false_alarm_rate is not None:
        detector.recalibrate(false_alarm_rate=false_alarm_rate)
    if ignore:
        detector.kind_.ignoring(ignore)  # raises if the data is no table
        detector.set_params(ignore=[*detector.get_params()["ignore"], *ignore])
    found = (write if output is not None else export_triton)(detector, target, check=check)
    if as_json:
        facts = {"output": str(target), "differences": found.differences._asdict(), **asdict(found.description)}
        sys.stdout.write(json.dumps(facts) + "\n")
        return
    shape = " × ".join(map(str, ("batch", *found.description.shape)))
    sys.stderr.write(
        f"{target}: {found.description.dtype} ({shape}) → score, p_value, is_anomaly, error_map; "
        f"{found.differences.samples} samples have the same scores as in memae, within {found.differences.score:.1g}\n"
    )
