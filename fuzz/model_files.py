"""Model files: changed headers and tensors under a valid checksum, and damaged bytes."""

import copy
import json
import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from random import Random
from typing import Any

import torch
from PIL import Image
from safetensors.torch import load as tensors_of
from safetensors.torch import save as serialise
from torch import Tensor

from fuzz import mutations, places, videos
from fuzz.formats import Format, taken
from memae.cli.inspect import describe, show
from memae.errors import ModelFileError
from memae.estimators import Estimator, ImageMemAE, TabularMemAE, VideoMemAE, load
from memae.modelfile import artifact

VALUES: tuple[Any, ...] = (
    *(
        0,
        1,
        -1,
        2,
        3,
        255,
        10**6,
        2**31,
        2**63,
        10**12,
        10**400,
        0.5,
        -0.0,
        1e-300,
        1e308,
        math.nan,
        math.inf,
        -math.inf,
    ),
    *(
        None,
        True,
        False,
        "",
        "x",
        "sum",
        "table",
        "image",
        "video",
        "x" * 1000,
        "\0",
        [],
        [[]],
        {},
        {"a": 1},
        [0],
        [1, 2],
    ),
    *([10**9], [1] * 1000, [10**6, 10**6, 10**6], [-1, 2], ["a"], [None]),
)


def target(data: bytes) -> int:
    """Loads and inspects a model, and scores data of its kind; only a `ModelFileError` may refuse a file."""
    path = places.put("m.memae", data)
    try:
        detector = load(path)
    except ModelFileError:
        return 0
    except Exception as error:
        raise AssertionError(f"refused by {type(error).__name__}: {error}") from error
    return 1 + taken(lambda: show(describe(detector)), partial(_used, detector))


def _used(detector: Estimator) -> None:
    table, picture, film = samples()
    source = {"table": table, "image": picture, "video": film}[detector.kind]
    places.scored_into(detector, source, ".csv")


@cache
def samples() -> tuple[Path, Path, Path]:
    """Data of each kind of model."""
    folder = places.folder()
    places.rows(6).to_csv(folder / "known.csv", index=False)
    Image.fromarray(places.pixels(places.SIDE, places.SIDE)).save(folder / "known.png")
    film = places.put("known.avi", videos.filmed(videos.Kind(".avi", "mjpeg", "yuvj420p")))
    return folder / "known.csv", folder / "known.png", film


# --------------------------------------------------------------------------------------------------------- valid files


@cache
def seeds() -> tuple[bytes, ...]:
    """Models of the three kinds, with and without optional parts; trained on one thread, so they never differ."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return tuple(map(_file, _detectors()))
    finally:
        torch.set_num_threads(threads)


def _detectors() -> tuple[Estimator, ...]:
    small: dict[str, Any] = places.SMALL | {"widths": (3, 2)}
    net: dict[str, Any] = small | {"strides": ((2, 2), (1, 1))}
    clips: dict[str, Any] = net | {"size": (places.SIDE, places.SIDE), "length": 3}
    table, pictures, film = places.rows(), places.pixels(20, places.SIDE, places.SIDE), places.pixels(60, 12, 12)
    paper = {"strides": ((1, 2, 2), (2, 2, 2)), "length": 4, "size": "native"}
    return (
        TabularMemAE(kept_samples=5, **small).fit(table),
        TabularMemAE(masked_columns=False, kept_samples=0, scaling="minmax", **small | {"n_items": 0}).fit(table),
        ImageMemAE(kept_samples=4, channels=1, **net).fit(pictures),
        ImageMemAE(rotations=False, kept_samples=0, per_position=True, size=(12, 12), **net).fit(pictures),
        VideoMemAE(kept_samples=5, **clips | {"length": 2}).fit(film),
        VideoMemAE(speeds=False, kept_samples=0, **clips).fit(film),
        VideoMemAE(**net | paper).fit(film),
    )


def _file(detector: Estimator) -> bytes:
    """A model file without the seconds of its epochs, which would differ between runs."""
    detector.scorer_.chunk = places.CHUNK
    path = places.folder() / "seed.memae"
    detector.save(path)
    known = artifact.load(path)
    artifact.save(replace(known, history=tuple(epoch._replace(seconds=0.0) for epoch in known.history)), path)
    return path.read_bytes()


# ------------------------------------------------------------------------------------------------------------- spoiling


def spoiled(files: Sequence[bytes], random: Random) -> bytes:
    """A model with a changed header or tensors under a valid checksum, or with damaged bytes."""
    data = random.choice(files)
    if random.random() < 0.3:
        return mutations.spoiled(data, files, random) if random.random() < 0.7 else _other_layout(data, random)
    header, tensors = opened(data)
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        if random.random() < 0.7:
            header = _other_header(header, random)
        else:
            _other_tensor(tensors, random)
    return sealed(header, tensors)


def opened(data: bytes) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The header without its checksum, and the tensors, of a valid file."""
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["memae"])
    header.pop("sha256")
    return header, tensors_of(data)


def sealed(header: Any, tensors: dict[str, Tensor]) -> bytes:
    """A model file with a valid checksum."""
    whole = header | {"sha256": artifact.seal(header, tensors)} if isinstance(header, dict) else header
    return serialise(tensors, {"memae": json.dumps(whole)})


def _other_header(header: Any, random: Random) -> Any:
    """The header with one value changed, removed or added."""
    header = copy.deepcopy(header)
    node: Any = header
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        if not keys:
            return header
        key = random.choice(keys)
        deeper = isinstance(node[key], dict | list) and node[key] and random.random() < 0.85
        if not deeper:
            break
        node = node[key]
    way = random.random()
    if way < 0.1:
        del node[key]
    elif way < 0.15 and isinstance(node, dict):
        node["more"] = 1
    elif way < 0.25 and isinstance(node, list):
        node.extend(copy.deepcopy(node) * random.choice((1, 50)))
    else:
        node[key] = _other_value(node[key], random)
    return header


def _other_value(value: Any, random: Random) -> Any:
    """A value close to the given one, or an arbitrary one."""
    number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 2**63
    if number and random.random() < 0.5:
        return random.choice((value + 1, value - 1, -value, value * 2, value * 10**6, float(value), str(value)))
    return copy.deepcopy(random.choice(VALUES))


def _other_tensor(tensors: dict[str, Tensor], random: Random) -> None:
    """Changes the values, shape, type or name of one tensor, or removes it."""
    if not tensors:
        return
    name = random.choice(sorted(tensors))
    value = tensors.pop(name)
    more = random.choice(sorted(tensors)) if tensors else name
    ways: tuple[Callable[[], Tensor], ...] = (
        lambda: value.reshape(-1),
        lambda: value[None],
        lambda: value[..., :0] if value.ndim else value[None][:0],
        lambda: torch.cat([value, value]) if value.ndim else value.repeat(2),
        lambda: value.to(random.choice((torch.float16, torch.int64, torch.uint8, torch.bool))),
        lambda: torch.full_like(value, random.choice((0, 1, 100))),
        lambda: value.double() * random.choice((math.nan, math.inf, 1e300, 0.0)),
        lambda: value * math.nan if value.is_floating_point() else value.bitwise_not(),
        lambda: tensors.get(more, value).clone(),
    )
    way = random.random()
    if way < 0.8:
        tensors[name] = random.choice(ways)().contiguous()
    elif way < 0.9:
        tensors[f"{name}.more"] = value


def _other_layout(data: bytes, random: Random) -> bytes:
    """Changes types, shapes and offsets in the safetensors header."""
    (length,) = struct.unpack("<Q", data[:8])
    entries = json.loads(data[8 : 8 + length])
    name = random.choice([each for each in entries if each != "__metadata__"])
    entry = entries[name]
    way = random.randrange(4)
    if way == 0:
        entry["dtype"] = random.choice(("F64", "F32", "F16", "BF16", "I64", "BOOL", "F8_E4M3", "U64", "X", ""))
    elif way == 1:
        entry["shape"] = random.choice(([10**9, 10**9], [2**63], [-1], [0], [], entry["shape"] * 2, "x", [1e9]))
    elif way == 2:
        entry["data_offsets"] = random.choice(([0, 2**62], [5, 1], [-4, 4], [0], [0, 4], entry["data_offsets"][::-1]))
    else:
        entries["__metadata__"] = random.choice(({}, {"memae": "{"}, {"memae": "[" * 10**5}, {"memae": 1}, None))
    head = json.dumps(entries).encode()
    return struct.pack("<Q", random.choice((len(head), len(head), len(head), 2**63, 0))) + head + data[8 + length :]


FORMAT = Format("model_files", seeds, spoiled, target)
