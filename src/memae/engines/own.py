"""The user's own network as features of photos: read from an ONNX file, converted to one, and run."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from memae.engines.graphs import INPUT, as_onnx
from memae.engines.runtimes import ByPhoto, onnxruntime_session, required
from memae.errors import OptionError
from memae.features import LARGEST, Features, OwnFeatureSpec
from memae.own_network import Graph, OwnNetwork, listed
from memae.scoring import Scorer
from memae.spec import Spec

ROUNDED = 1e-3
"""Maximum difference between the outputs of a module and its ONNX file, relative to the largest: of deep networks, the
order of sums alone may change 1e-4."""


class Session:
    """Runs an ONNX file by ONNX Runtime, one photo at a time.

    It is opened at the first call: a model file can be read, copied and pickled without.

    Args:
        onnx: bytes of the file `(size,)`, uint8.
    """

    def __init__(self, onnx: Tensor) -> None:
        self.onnx = onnx

    def __call__(self, photos: Tensor) -> Sequence[Tensor]:
        """The outputs for photos `(b, 3, h, w)`."""
        return ByPhoto(lambda x: self.opened.run(None, {self.opened.get_inputs()[0].name: x}))(photos)

    @cached_property
    def opened(self) -> Any:
        """The session of ONNX Runtime.

        Raises:
            MissingExtraError: the extra "engines" is not installed.
            OptionError: ONNX Runtime refuses the file, or other files belong to it.
        """
        content = self.onnx.numpy().tobytes()
        if not alone(content):
            raise OptionError("the network's ONNX file names other files with its weights, which are not in the model")
        try:
            return onnxruntime_session(content)
        except Exception as error:  # its classes of errors have no common one of their own
            raise OptionError(f"ONNX Runtime cannot run the network given as features: {str(error)[:200]}") from error

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width of the photos that the graph takes; None for any.

        Raises:
            OptionError: it does not take single photos in RGB.
        """
        inputs = self.opened.get_inputs()
        fixed = [[side if isinstance(side, int) else None for side in each.shape or ()] for each in inputs]
        if len(fixed) != 1 or len(fixed[0]) != 4 or fixed[0][0] not in (None, 1) or fixed[0][1] not in (None, 3):
            found = ", ".join(f"{each.name} {each.shape}" for each in inputs)
            raise OptionError(f"the network given as features must take photos (1, 3, h, w) alone; it takes {found}")
        if inputs[0].type != "tensor(float)":
            raise OptionError(f"the network given as features must take float32; it takes {inputs[0].type}")
        height, width = fixed[0][2:]
        return None if height is None or width is None else (height, width)

    def __getstate__(self) -> dict[str, Any]:
        return {"onnx": self.onnx}


def alone(content: bytes) -> bool:
    """Whether an ONNX file holds all of its weights: by their names, others could make it read any file.

    Raises:
        MissingExtraError: the extra "engines" is not installed.
        OptionError: it is no ONNX file.
    """
    onnx = required("onnx")
    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # of protobuf, which has no types
        raise OptionError(f"the network given as features is no ONNX file ({error})") from error
    with TemporaryDirectory() as empty:
        try:
            onnx.load_external_data_for_model(model, empty)
        except Exception:  # there is nothing to be found
            return False
    return True


def read_graph(path: str | Path) -> Graph:
    """The network of an ONNX file, with the weights of files beside it that it names.

    Raises:
        MissingExtraError: the extra "engines" is not installed.
        OptionError: the file is missing, too large, or no ONNX file.
    """
    path = Path(path)
    if not path.is_file():
        raise OptionError(f"features: {path} is not a file; give the path of an ONNX file")
    _check_size(path.stat().st_size, path)
    content = path.read_bytes()
    if not alone(content):
        content = _with_weights(path)
        _check_size(len(content), path)
    return graph(content)


def _with_weights(path: Path) -> bytes:
    """An ONNX file with the weights of the files beside it."""
    onnx = required("onnx")
    try:
        return bytes(onnx.load(path).SerializeToString())
    except Exception as error:
        raise OptionError(f"features: {path} names files with its weights that cannot be read ({error})") from error


def _check_size(size: int, what: object) -> None:
    if size > LARGEST:
        raise OptionError(
            f"features: {what} has {size / 2**20:.0f} MiB, more than the {LARGEST >> 20} MiB that a model file keeps; "
            "give a smaller network"
        )


def graph(content: bytes) -> Graph:
    """An ONNX file as a module that ONNX Runtime runs."""
    made = Graph(len(content))
    made.onnx.copy_(torch.frombuffer(bytearray(content), dtype=torch.uint8))
    made.run = Session(made.onnx)
    return made.eval()


class _Listed(nn.Module):
    """A network whose outputs are a tuple."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, photos: Tensor) -> tuple[Tensor, ...]:
        return tuple(listed(self.network(photos)))


@torch.no_grad()
def converted(network: nn.Module, size: tuple[int, int]) -> Graph:
    """A module as an ONNX file, for photos of this height and width.

    Raises:
        MissingExtraError: the extra "engines" is not installed.
        OptionError: the module is too large, cannot be converted, or its file gives other outputs.
    """
    weights = [*network.parameters(), *network.buffers()]
    _check_size(sum(each.numel() * each.element_size() for each in weights), "the module")
    photo = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0))
    module = _Listed(network).eval()
    expected = module(photo)
    names = [f"output_{index}" for index in range(len(expected))]
    try:
        content = as_onnx(module, (photo,), [INPUT], names)
    except (RuntimeError, TypeError, ValueError, torch.onnx.OnnxExporterError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise OptionError(
            f"the module given as features cannot be converted to ONNX, so that the model cannot be saved: {reason}; "
            "convert it yourself and fit with the file"
        ) from error
    _check_size(len(content), "the module")
    made = graph(content)
    for ours, theirs in zip(expected, made(photo), strict=True):
        if not (ours - theirs).abs().max() <= ROUNDED * ours.abs().max():
            raise OptionError(
                "the module given as features gives other outputs in ONNX, so that the model cannot be saved; convert "
                "it yourself and fit with the file"
            )
    return made


def stored(spec: Spec, scorer: Scorer) -> tuple[Spec, Scorer]:
    """A model as a file keeps it: with a user's module as an ONNX file.

    Raises:
        MissingExtraError: there is such a module, and the extra "engines" is not installed.
        OptionError: see `converted`.
    """
    described, features = spec.features, scorer.features
    if not isinstance(described, OwnFeatureSpec) or described.kind == "onnx" or features is None:
        return spec, scorer
    assert isinstance(features.network, OwnNetwork)  # noqa: S101 (as described)
    made = converted(features.network.network, (described.photo[1], described.photo[2]))
    network = features.network.running(made)
    other = scorer.replaced(features=Features(network, features.mean, features.deviation).eval())
    return replace(spec, features=described_by(made, described)), other


def described_by(network: Graph, spec: OwnFeatureSpec) -> OwnFeatureSpec:
    """The same features, by an ONNX file."""
    content = network.onnx.numpy()
    return replace(spec, kind="onnx", sha256=hashlib.sha256(content.data).hexdigest(), size=len(content))


def runnable(scorer: Scorer) -> Scorer:
    """The scorer of a model file, whose user's network, if there is one, ONNX Runtime will run."""
    found = None if scorer.features is None else scorer.features.graph
    if found is not None:
        found.run = Session(found.onnx)
    return scorer
