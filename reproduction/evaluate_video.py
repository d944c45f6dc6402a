"""Evaluates frame errors of any model: `python -m reproduction evaluate-video errors.npy --dataset ped2`."""

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from memae.errors import OptionError, SourceError
from memae.metrics import Estimate
from reproduction import frame_protocol, video_sets
from reproduction.frame_protocol import Array, Figure, PixelLevel

MEANING = {
    "per_video": "each video's errors are scaled from its least to its largest (Eq. 11)",
    "none": "errors as they are",
    "causal": "each error is scaled by those before it alone, from the range of held-out normal frames on (--normal)",
    "causal_alone": "each error is scaled by those before it alone",
    "paper": "that of the paper: per_video, all frames, micro",
    "authors": "that of its authors' code: per_video, the frames alone on which a clip of 16 is centred, micro",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `python -m reproduction evaluate-video`."""
    which = "of all test frames, videos in order: .npy (frames,), or .npz with one array for each video"
    parser.add_argument("errors", type=Path, help=f"errors {which}; with or without the edge frames of 16-frame clips")
    sets = tuple(video_sets.READERS)
    parser.add_argument("--dataset", required=True, choices=sets, metavar="SET", help=", ".join(sets))
    parser.add_argument("--normal", type=Path, metavar="HELD_OUT", help="errors of normal frames not trained on, .npy")
    parser.add_argument("--maps", type=Path, help="error maps .npy (frames, h, w), for the pixel-level figures")
    parser.add_argument("--rounds", type=int, default=500, help="of the bootstrap over videos, for the intervals")
    parser.add_argument("--json", action="store_true", help="print JSON")


def main(arguments: argparse.Namespace) -> None:
    """Prints the figures."""
    rounds = arguments.rounds
    if rounds < 1:
        raise OptionError(f"--rounds must be 1 or more; got {rounds}")
    found = video_sets.video_set(arguments.dataset)
    labels = [found.labels(index) for index in range(len(found.test))]
    held_out = None if arguments.normal is None else _flat(read(arguments.normal))
    frames = frame_protocol.frame_figures(labels, read(arguments.errors), held_out, rounds=rounds)
    pixels = None
    if arguments.maps is not None:
        masks = (found.masks(index) for index in range(len(labels)))
        pixels = frame_protocol.pixel_level(read(arguments.maps), masks, [len(each) for each in labels], rounds=rounds)
    shown = json.dumps(_facts(frames, pixels), indent=2) if arguments.json else "\n".join(lines(frames, pixels))
    sys.stdout.write(shown + "\n")


def read(file: Path) -> Array | list[Array]:
    """The array of a `.npy` file, memory-mapped, or the arrays of a `.npz` file in order.

    Raises:
        SourceError: the file does not exist, or holds no arrays.
    """
    try:
        if file.suffix != ".npz":
            return np.lib.format.open_memmap(file, mode="r")
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as found:
            return [found[name] for name in found.files]
    except (OSError, ValueError, TypeError, EOFError, BadZipFile) as error:
        raise SourceError(f"{file} cannot be read ({error}); save arrays with np.save or np.savez") from error


def _flat(values: Array | list[Array]) -> Array:
    return values if isinstance(values, np.ndarray) else np.concatenate([np.ravel(each) for each in values])


def lines(frames: list[Figure], pixels: PixelLevel | None = None) -> list[str]:
    """The figures as a table, and the meaning of its terms."""
    head = (
        "normalisation",
        "edges",
        "frames",
        "micro AUROC (95 % interval)",
        "macro AUROC (95 % interval)",
        "protocol",
    )
    rows = [head, *map(_row, frames)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    shown = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    there = [name for figure in frames for name in (figure.normalisation, figure.protocol) if name]
    shown += ["", *(f"{name}: {MEANING[name]}" for name in dict.fromkeys(there))]
    return shown if pixels is None else [*shown, "", *_pixel_lines(pixels)]


def _row(figure: Figure) -> tuple[str, ...]:
    edges = _edges(figure.edges)
    both = (_shown(figure.micro), _shown(figure.macro))
    return figure.normalisation, edges, str(figure.frames), *both, figure.protocol or "–"


def _edges(edges: bool) -> str:
    return "with" if edges else "without"


def _pixel_lines(pixels: PixelLevel) -> list[str]:
    share, bits = frame_protocol.PERCENT, frame_protocol.FRACTION_BITS
    return [
        f"pixel level, {pixels.frames} frames {_edges(pixels.edges)} edges, errors as they are:",
        f"AUROC of the {share} % criterion  {_shown(pixels.criterion)}, equal error rate {pixels.equal_error:.4f}",
        f"AUROC of all pixels          {pixels.pixels:.4f}, errors told apart by 2^-{bits} of their size",
    ]


def _shown(figure: Estimate) -> str:
    """A figure and its interval; – if there is none."""
    value, low, high = ("–" if math.isnan(each) else f"{each:.4f}" for each in figure)
    return value if low == "–" else f"{value} ({low} – {high})"


def _facts(frames: list[Figure], pixels: PixelLevel | None) -> dict[str, Any]:
    return {
        "frame_level": [
            {**each._asdict(), "micro": _plain(each.micro), "macro": _plain(each.macro)} for each in frames
        ],
        "pixel_level": None if pixels is None else {**pixels._asdict(), "criterion": _plain(pixels.criterion)},
    }


def _plain(figure: Estimate) -> dict[str, float | None]:
    return {name: None if math.isnan(value) else value for name, value in figure._asdict().items()}
