"""The two formats of an exported detector: in memory they can be run, and written completely or not at all."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

from memae.engines.runtimes import Run, openvino_core, required, with_onnxruntime, with_openvino
from memae.files import replacing

ABOUT = "memae"
"""Key of the description in the metadata of an ONNX file and in OpenVINO's `rt_info`."""


@dataclass(frozen=True)
class OnnxFile:
    """One .onnx file."""

    content: bytes

    @classmethod
    def of(cls, graph: bytes, about: str) -> Self:
        """An ONNX graph with a description."""
        onnx = required("onnx")
        model = onnx.load_from_string(graph)
        onnx.helper.set_model_props(model, {ABOUT: about})
        return cls(model.SerializeToString())

    def started(self) -> Run:
        """The graph in ONNX Runtime."""
        return with_onnxruntime(self.content)

    def write(self, path: Path) -> None:
        """Writes the file."""
        with replacing(path) as temporary:
            temporary.write_bytes(self.content)


@dataclass(frozen=True)
class OpenVinoFiles:
    """A .xml file and the .bin file of its weights."""

    graph: bytes
    weights: bytes

    @classmethod
    def of(cls, graph: bytes, about: str) -> Self:
        """An ONNX graph with a description, converted to OpenVINO's format."""
        openvino = required("openvino")
        model = openvino_core().read_model(graph)
        model.set_rt_info(about, ABOUT)
        with TemporaryDirectory() as folder:  # OpenVINO can only write to files
            path = Path(folder) / "model.xml"
            openvino.serialize(model, path)
            return cls(path.read_bytes(), path.with_suffix(".bin").read_bytes())

    def started(self) -> Run:
        """The graph in OpenVINO."""
        return with_openvino(self.graph, self.weights)

    def write(self, path: Path) -> None:
        """Writes both, the .bin beside `path`.

        An old .xml is deleted first: with new weights it would run and give wrong scores.
        """
        with replacing(path) as graph, replacing(path.with_suffix(".bin")) as weights:
            graph.write_bytes(self.graph)
            weights.write_bytes(self.weights)
            path.unlink(missing_ok=True)
