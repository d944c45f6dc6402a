"""Model files of detectors of photos: whatever is wrong in one is refused, and what is read scores or says why not."""

import copy
import json
from random import Random

import numpy as np
import pytest
import torch
from tests.photographs import detector, parts, scratched

from fuzz import model_files
from memae import load
from memae.errors import MemaeError, ModelFileError

pytestmark = pytest.mark.usefixtures("described_at_random")


@pytest.fixture(scope="module")
def fitted():
    return detector(kept_samples=9).fit(parts(12))


@pytest.fixture(scope="module")
def saved(fitted, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "m.memae"
    fitted.save(path)
    return path.read_bytes()


def read(path, header, tensors):
    path.write_bytes(model_files.sealed(header, tensors))
    return load(path)


def ways(value):
    """Tensors that are not like this one: of another shape or type."""
    yield "missing", None
    yield "longer", torch.cat([value.flatten(), value.flatten()[:1]])
    yield "bool", torch.zeros(value.shape, dtype=torch.bool)


FREE = {(f"{name}.scores", way) for name in ("calibration", "peaks") for way in ("longer", "bool")} | {
    (name, "bool") for name in ("balance.weights", "model.memory.isolation", "model.memory.use")
}
"""Any numbers are scores, and what lies in a buffer of numbers is read as such."""


def test_every_tensor_is_checked(saved, tmp_path):
    header, tensors = model_files.opened(saved)
    accepted = set()
    network = [name for name in tensors if name.startswith("features.network.")]
    assert len(network) > 30
    for name, value in tensors.items():
        if name in network and name not in network[::9]:
            continue
        for way, other in ways(value):
            changed = {each: kept for each, kept in (tensors | {name: other}).items() if kept is not None}
            try:
                again = read(tmp_path / "m.memae", copy.deepcopy(header), changed)
            except ModelFileError:
                continue
            assert np.isfinite(again.anomaly_score(scratched(1))).all()
            accepted.add((name, way))
    assert {each for each in accepted - FREE if not each[0].startswith("examples.")} == set()


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("spec/features", None),
        ("spec/features/photo", [1, 64]),
        ("spec/features/photo", [1, 64, 10**9]),
        ("spec/features/photo", [1, 10**6, 10**6]),
        ("spec/features/photo", [3, 64, 80]),
        ("spec/features/photo", [2, 64, 64]),
        ("spec/features/photo", [1, -64, -64]),
        ("spec/features/variant", 1),
        ("spec/features/variant", 3),
        ("spec/features/variant", -1),
        ("spec/features/stages", [3, 5]),
        ("spec/features/stages", [5, 3, 6]),
        ("spec/features/more", 1),
        ("spec/shape", [80, 4, 5]),
        ("spec/shape", [81, 4, 4]),
        ("spec/memory", None),
        ("spec/memory/items", 8),
        ("spec/memory/items", 0),
        ("spec/memory/items", 10**12),
        ("spec/memory/channels", 55),
        ("spec/memory/channels", 57),
        ("spec/memory/channels", 0),
        ("spec/memory", {"items": 9, "fields": [56]}),
        ("scorer/chunk", 0),
        ("scorer/chunk", 10**9),
        ("scorer/peaked", "yes"),
        ("scorer/calibrated", False),
        ("scorer/measures/0/type", "WholeDistance"),
        ("scorer/measures/1/type", "LocalDistance"),
        ("scorer/measures/0/arguments", {"power": 0}),
        ("scorer/measures/0/arguments", {"power": 65}),
        ("scorer/measures/0/arguments", {"power": 8, "smoothed": "yes"}),
        ("scorer/measures/0/arguments", {"width": 8}),
        ("scorer/measures", []),
    ],
)
def test_every_field_is_checked(saved, tmp_path, place, value):
    header, tensors = model_files.opened(saved)
    *above, last = [int(name) if name.isdigit() else name for name in place.split("/")]
    inside = header
    for name in above:
        inside = inside[name]
    inside[last] = value
    with pytest.raises(ModelFileError, match="header is invalid"):
        read(tmp_path / "m.memae", header, tensors)


def test_a_file_as_it_is_is_read(saved, tmp_path, fitted):
    again = read(tmp_path / "m.memae", *model_files.opened(saved))
    assert np.array_equal(again.anomaly_score(scratched(2)), fitted.anomaly_score(scratched(2)))


def test_spoiled_files_are_refused_or_score(saved, tmp_path):
    """The fuzzing of model files, on this one; the campaign itself would need real weights, of 12 MB."""
    path, refused = tmp_path / "m.memae", 0
    for seed in range(60):
        path.write_bytes(model_files.spoiled((saved,), Random(seed)))  # noqa: S311
        try:
            found = load(path)
        except ModelFileError:
            refused += 1
            continue
        try:
            found.anomaly_score(scratched(1))
            list(found.explain(scratched(1)))
            json.dumps(found.kind_.about())
        except MemaeError:
            continue
    assert refused > 30
