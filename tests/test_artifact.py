"""A model file comes back bit for bit or is refused with a reason; a write that fails leaves what was there."""

import json
import os
import pickle
import resource
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from memae.errors import ModelFileError, OutputError
from memae.evidence import Examples
from memae.files import check_writable, replacing
from memae.health import Health
from memae.modelfile import artifact as artifacts
from memae.modelfile.artifact import FORMAT, Artifact, load, save, versions
from memae.options import Epoch
from memae.pretext.columns import ColumnSpec
from memae.pretext.rotations import RotationSpec
from memae.scoring import Scaling, Scorer
from memae.scoring.balance import Balance
from memae.scoring.calibration import Calibration
from memae.scoring.distances import CodeDistance, LocalDistance, NearestDistance, RowDistance
from memae.scoring.fitting import kept_codes, residual_matrix
from memae.scoring.measures import Error, NormalizedError, RegressionError, RelativeError, Surprise
from memae.spec import KeptSpec, MemorySpec, Spec, build

SPECS = {
    "table": Spec((5,), (4, 3), memory=MemorySpec(6, temperature=0.2, learn_temperature=True)),
    "image": Spec((1, 8, 8), (4, 2), ((2, 2), (2, 2)), memory=MemorySpec(6, per_position=True, on_empty="zero")),
    "plain": Spec((5,), (3,)),
    "masked": Spec((5,), (4, 3), memory=MemorySpec(6, temperature=0.2), pretext=ColumnSpec((1, 3, 1))),
    "rotated": Spec((1, 8, 8), (4, 2), ((2, 2), (2, 2)), memory=MemorySpec(6), pretext=RotationSpec(4)),
    "keeping": Spec((5,), (), memory=KeptSpec(9, (1, 3, 1))),
}


def example(kind="table", calibrated=True):
    torch.manual_seed(0)
    spec = SPECS[kind]
    model = build(spec)
    if model.memory is not None:
        model.memory.use.uniform_()
    shape = spec.shape if len(spec.shape) == 1 else (1,)
    center, scale = torch.randn(shape, dtype=torch.float64), torch.rand(shape, dtype=torch.float64) + 0.1
    scorer = Scorer(model, Scaling(center, scale), [Error("mean")], chunk=8)
    if kind == "rotated":
        kept = kept_codes(scorer, [torch.randn(9, *spec.shape)], 7)
        measures = [RelativeError(), Surprise(4), CodeDistance(kept)]
        scorer = scorer.replaced(measures=measures, balance=Balance.fit(measures, torch.rand(20, 3)))
    if kind == "masked":
        expected = torch.rand(*shape, dtype=torch.float64) + 0.1
        measures = [NormalizedError(expected), RowDistance(torch.randn(7, *shape, dtype=torch.float64))]
        balance = Balance.fit(measures, torch.rand(20, 2))
        scorer = scorer.replaced(scaling=Scaling(center, scale, 4.0), measures=measures, balance=balance)
        scorer.to(torch.float64)
    if kind == "keeping":
        model.double().memory.remember(torch.randn(9, 5, dtype=torch.float64))
        mean, precision = torch.rand(5).double(), torch.cov(torch.rand(5, 20).double()).inverse()
        matrix = residual_matrix(precision, (1, 3, 1))
        regression = RegressionError(mean, matrix, torch.rand(5).double() + 0.1)
        local = LocalDistance(torch.tensor(0.5, dtype=torch.float64))
        measures = [NormalizedError(torch.rand(5).double() + 0.1), NearestDistance(), local, regression]
        balance = Balance.of_surprise(torch.rand(20, 4).double(), torch.tensor([1.0, 3.0, 1.0, 1.0]).double() / 6)
        scorer = scorer.replaced(measures=measures, balance=balance)
    if calibrated:
        scorer = scorer.replaced(calibration=Calibration(torch.rand(50), 0.03))
    health = Health(6, 5, 1, 0, 2.5, 3.5, 0.1, 0.3) if model.memory is not None else None
    history = (Epoch(1, 1.5, 1.4, 0.2, 1 / 3, health, 0.01), Epoch(2, 1.0, 0.1, 0.0, 0.7, None, 2.0))
    parameters = {"epochs": 3, "name": "grüße", "none": None, "rate": 0.1 + 0.2}
    return Artifact(kind, spec, scorer, parameters, {"columns": [{"a": 1}]}, history, 0, "abc", versions())


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "model.memae"
    save(example(), path)
    return path


@pytest.mark.parametrize("kind", SPECS)
@pytest.mark.parametrize("calibrated", [True, False])
def test_a_model_comes_back_bit_for_bit(kind, calibrated, tmp_path):
    one = example(kind, calibrated)
    save(one, tmp_path / "m")
    state = torch.get_rng_state()
    other = load(tmp_path / "m")
    assert torch.equal(state, torch.get_rng_state())  # loading draws no random numbers
    assert replace(other, scorer=one.scorer) == one
    a, b = one.scorer.state_dict(), other.scorer.state_dict()
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) and a[name].dtype == b[name].dtype for name in a)
    assert other.scorer.chunk == 8
    assert other.scorer.scaling.limit == one.scorer.scaling.limit
    for measure, same in zip(one.scorer.measures, other.scorer.measures, strict=True):
        assert type(measure) is type(same)
        assert measure.about() == same.about()
    assert not other.scorer.training
    raw = torch.randn(20, *one.spec.shape)
    for ours, theirs in zip(one.scorer.batched([raw]), other.scorer.batched([raw]), strict=True):
        assert all(torch.equal(x, y) for x, y in zip(ours, theirs, strict=True))
    if calibrated:
        assert other.scorer.calibration.false_alarm_rate == 0.03
        assert other.scorer.calibration.threshold() == one.scorer.calibration.threshold()
    save(other, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "m").read_bytes()


@pytest.mark.parametrize("content", [b"", b"\0" * 7, b"\xff" * 4000, b"PK\x03\x04", b"hello world, this is no model"])
def test_files_that_are_no_models_are_refused(tmp_path, content):
    path = tmp_path / "m"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match="damaged or not a model file"):
        load(path)


def test_what_is_missing_or_a_folder_is_refused(tmp_path):
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(ModelFileError, match="is not a file"):
            load(path)


def test_a_pickle_is_refused_without_being_run(tmp_path):
    path = tmp_path / "m"

    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ModelFileError):
        load(path)
    torch.save({"a": torch.zeros(2)}, path)
    with pytest.raises(ModelFileError):
        load(path)
    assert not (tmp_path / "ran").exists()


def test_a_file_cut_anywhere_is_refused(written):
    whole = written.read_bytes()
    for length in [*range(0, len(whole), 97), *range(len(whole) - 9, len(whole))]:
        written.write_bytes(whole[:length])
        with pytest.raises(ModelFileError):
            load(written)
    written.write_bytes(whole + b"\0")
    with pytest.raises(ModelFileError):
        load(written)


def test_one_changed_byte_anywhere_is_refused(written):
    whole = bytearray(written.read_bytes())
    header = 8 + int.from_bytes(whole[:8], "little")
    rng = np.random.default_rng(0)
    places = [*range(9), *rng.integers(9, header, 250), *rng.integers(header, len(whole), 100)]
    for place in places:
        for flip in (1 << int(rng.integers(8)), int(rng.integers(1, 256))):
            damaged = bytes(byte ^ flip if at == place else byte for at, byte in enumerate(whole))
            written.write_bytes(damaged)
            with pytest.raises(ModelFileError):
                load(written)


@pytest.mark.parametrize(("old", "new"), [(b'"F32"', b'"I32"'), (b'"F64"', b'"I64"'), (b'"I64"', b'"F64"')])
def test_a_changed_type_of_a_tensor_is_refused(tmp_path, old, new):
    path = tmp_path / "m"
    save(example("image"), path)
    whole = path.read_bytes()
    assert old in whole
    path.write_bytes(whole.replace(old, new, 1))
    with pytest.raises(ModelFileError):
        load(path)


@pytest.mark.parametrize("one", ["scaling.center", "model.encoder.0.bias"])
def test_exchanged_tensors_are_refused(written, one):
    """Two tensors of one shape trade their names: the bytes are the same, their meaning is not."""
    other = {"scaling.center": "scaling.scale", "model.encoder.0.bias": "model.decoder.0.bias"}[one]
    with safe_open(written, "pt") as file:
        metadata = file.metadata()
    tensors = load_file(written)
    if tensors[one].shape != tensors[other].shape:
        pytest.skip("shapes differ")
    tensors[one], tensors[other] = tensors[other], tensors[one]
    save_file(tensors, written, metadata)
    with pytest.raises(ModelFileError, match="checksum"):
        load(written)


def rewritten(path, change, **other):
    """The file with header and tensors changed and sealed again, as another version of memae might write it."""
    with safe_open(path, "pt") as file:
        header = json.loads(file.metadata()["memae"])
    tensors = load_file(path) | other
    tensors = {name: value for name, value in tensors.items() if value is not None}
    header.pop("sha256")
    change(header)
    save_file(tensors, path, {"memae": json.dumps(header | {"sha256": artifacts.seal(header, tensors)})})


def test_a_newer_format_asks_for_an_upgrade(written):
    def change(header):
        header["format"] = FORMAT + 1
        header.pop("spec")  # whatever it looks like then

    rewritten(written, change)
    with pytest.raises(ModelFileError, match=f"has format {FORMAT + 1}, .* reads up to {FORMAT}; upgrade memae"):
        load(written)


@pytest.mark.parametrize(
    "change",
    [
        lambda header: header.pop("spec"),
        lambda header: header.update(format="one"),
        lambda header: header["spec"].update(shape=[6]),
        lambda header: header["spec"]["memory"].update(items=7),
        lambda header: header["spec"]["memory"].update(unknown=1),
        lambda header: header["scorer"].update(calibrated=False),
        lambda header: header["spec"].update(memory=None),
        lambda header: header["history"].append({"epoch": 3}),
    ],
)
def test_a_header_that_does_not_fit_is_refused(written, change):
    rewritten(written, change)
    with pytest.raises(ModelFileError, match="header is invalid"):
        load(written)


@pytest.fixture
def keeping(tmp_path):
    path = tmp_path / "keeping.memae"
    save(example("keeping"), path)
    return path


@pytest.mark.parametrize(
    "change",
    [
        {"fields": [1, 3, 2]},
        {"fields": [1, 1, 1, 1, 1]},  # other groups would be hidden
        {"fields": [5]},
        {"fields": [1, 4, 0]},
        {"fields": [-1, 5, 1]},
        {"fields": []},
        {"fields": [10**12]},
        {"items": 8},
        {"items": 0},
        {"items": 10**12},
        {"items": -9},
    ],
    ids=str,
)
def test_kept_samples_that_do_not_fit_are_refused(keeping, change):
    rewritten(keeping, lambda header: header["spec"]["memory"].update(change))
    with pytest.raises(ModelFileError, match="header is invalid"):
        load(keeping)


@pytest.mark.parametrize(
    "change",
    [
        lambda header: header["spec"].update(shape=[6]),
        lambda header: header["spec"].update(memory=None),
        lambda header: header["scorer"]["measures"].pop(),
        lambda header: header["scorer"]["measures"].reverse(),
        lambda header: header["scorer"]["measures"][1]["arguments"].update(nearest=3),
    ],
)
def test_a_header_of_kept_samples_that_does_not_fit_is_refused(keeping, change):
    rewritten(keeping, change)
    with pytest.raises(ModelFileError, match="header is invalid"):
        load(keeping)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("balance.knots", lambda knots: knots.flip(1)),
        ("balance.knots", lambda knots: knots[:, :1].expand(-1, 4)),
        ("balance.knots", lambda knots: knots[:, :3]),
        ("balance.knots", lambda knots: knots[:3]),
        ("balance.knots", lambda knots: knots * torch.nan),
        ("balance.knots", lambda knots: None),
        ("balance.halving", lambda halving: -halving),
        ("balance.halving", lambda halving: halving * 0),
        ("balance.halving", lambda halving: halving * torch.nan),
        ("balance.halving", lambda halving: halving[:3]),
        ("balance.halving", lambda halving: None),
        ("balance.weights", lambda weights: None),
        ("model.memory.hidden", lambda hidden: ~hidden),
        ("model.memory.hidden", lambda hidden: hidden.roll(1, 0)),
        ("model.memory.hidden", lambda hidden: hidden[:2]),
        ("model.memory.items", lambda items: items[:8]),
        ("model.memory.items", lambda items: items.float()),
        ("model.memory.items", lambda items: items.long()),
        ("model.memory.isolation", lambda isolation: isolation[:8]),
        ("model.memory.isolation", lambda isolation: None),
        ("measures.0.expected", lambda expected: expected[:4]),
        ("measures.2.floor", lambda floor: floor * 0),
        ("measures.2.floor", lambda floor: floor[None]),
        ("measures.2.floor", lambda floor: floor * torch.nan),
        ("measures.3.mean", lambda mean: mean[:4]),
        ("measures.3.residual", lambda residual: residual[:4]),
        ("measures.3.residual", lambda residual: residual.float()),
        ("measures.3.expected", lambda expected: None),
    ],
)
def test_tensors_of_kept_samples_that_do_not_fit_are_refused(keeping, name, change):
    changed = change(load_file(keeping)[name])
    rewritten(keeping, lambda header: None, **{name: None if changed is None else changed.contiguous()})
    with pytest.raises(ModelFileError, match="header is invalid"):
        load(keeping)


def test_a_rewritten_header_is_otherwise_accepted(written):
    rewritten(written, lambda header: header.update(checksum="other"))
    assert load(written).checksum == "other"


def test_safetensors_of_others_are_refused(tmp_path):
    path = tmp_path / "m"
    for metadata in (None, {"format": "pt"}):
        save_file({"a": torch.zeros(2)}, path, metadata)
        with pytest.raises(ModelFileError, match="not one of memae"):
            load(path)
    save_file({"a": torch.zeros(2)}, path, {"memae": "[]"})
    with pytest.raises(ModelFileError):
        load(path)


def test_saving_into_a_missing_folder_or_over_a_folder_leaves_nothing(tmp_path):
    with pytest.raises(OutputError, match="cannot write"):
        save(example(), tmp_path / "none" / "m")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="cannot write"):
        save(example(), tmp_path / "folder")
    assert [each.name for each in tmp_path.iterdir()] == ["folder"]
    for path in (tmp_path / "none" / "m", tmp_path / "folder"):
        with pytest.raises(OutputError, match="cannot write"):
            check_writable(path)
    check_writable(tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_saving_into_a_read_only_folder_leaves_nothing(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OutputError, match="cannot write"):
            save(example(), tmp_path / "m")
        assert list(tmp_path.iterdir()) == []
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize("existing", [True, False])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_write_that_fails_leaves_what_was_there(tmp_path, monkeypatch, existing, error):
    path = tmp_path / "m"
    if existing:
        save(example(), path)
    before = {each.name: each.read_bytes() for each in tmp_path.iterdir()}

    def fail(descriptor):  # what was written so far is half a file
        os.ftruncate(descriptor, 99)
        raise error

    monkeypatch.setattr(os, "fsync", fail)
    wanted = OutputError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(wanted, match=r"No space left on device|^$"):
        save(example("plain"), path)
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == before


def test_a_disk_that_is_really_too_small_is_an_output_error(tmp_path):
    """The system itself refuses to write more than 64 bytes a file."""
    path = tmp_path / "m"
    path.write_bytes(b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, hard))
    try:
        with pytest.raises(OutputError, match="cannot write"):
            save(example(), path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == {"m": b"old"}


def test_a_block_that_ends_well_replaces_and_any_other_does_not(tmp_path):
    path = tmp_path / "a"
    with replacing(path) as temporary:
        temporary.write_text("1")
        assert not path.exists()
        assert temporary.parent == tmp_path
    with pytest.raises(ZeroDivisionError), replacing(path) as temporary:
        temporary.write_text(str(2 // (path.stat().st_size - 1)))
    assert path.read_text() == "1"
    assert [each.name for each in tmp_path.iterdir()] == ["a"]


def test_a_newer_format_may_look_different(written):
    with safe_open(written, "pt") as file:
        header = json.loads(file.metadata()["memae"])
    save_file(load_file(written), written, {"memae": json.dumps({"format": header["format"] + 1})})
    with pytest.raises(ModelFileError, match="upgrade memae"):
        load(written)


def test_training_samples_that_are_kept_come_back_and_older_files_have_none(tmp_path):
    one = example("image")
    kept = Examples(
        torch.tensor([[1, 0]] * 6, dtype=torch.int32), torch.rand(6, 2), ("ä.png", "b.png"),
        torch.randint(256, (2, 1, 4, 3), dtype=torch.uint8),
    )  # fmt: skip
    save(replace(one, examples=kept), tmp_path / "m")
    other = load(tmp_path / "m").examples
    assert other.names == kept.names
    for name in ("index", "distance", "thumbnails"):
        assert torch.equal(getattr(other, name), getattr(kept, name))
        assert getattr(other, name).dtype == getattr(kept, name).dtype
    save(replace(one, examples=replace(kept, thumbnails=None)), tmp_path / "rows")
    assert load(tmp_path / "rows").examples.thumbnails is None
    assert load(Path(__file__).parent / "recorded" / "format-1-image.memae").examples is None
