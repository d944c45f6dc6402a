"""The command line: fit, score, evaluate and inspect of each kind, exit codes, and interruptions."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from safetensors import safe_open

import memae
from memae import cli
from memae.demo import street
from memae.estimators import ImageMemAE, TabularMemAE, VideoMemAE, load

RNG = np.random.default_rng(0)
MEMAE = Path(sys.executable).parent / "memae"
JUDGED = ["score", "p_value", "is_anomaly"]
SMALL = ["--epochs", "2", "--warmup", "1", "--n-items", "8", "--false-alarm-rate", "0.1"]


Run = Callable[..., Any]  # the fixture of conftest.py: gives code, out, err


class Case(NamedTuple):
    """A kind of data on the disk, with what the command line needs for it."""

    kind: str
    normal: Path
    test: Path
    options: list[str]
    labels: list[str]
    identity: list[str]


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    root = tmp_path_factory.mktemp("cases")
    rows = pd.DataFrame(RNG.normal(size=(120, 2)) @ RNG.normal(size=(2, 4)), columns=list("abcd"))
    rows = rows.assign(kind=RNG.choice(["x", "y"], 120), id=range(120))
    rows.to_csv(root / "normal.csv", index=False)
    odd = rows.head(40).assign(a=9.0, label="bad")
    pd.concat([rows.tail(40).assign(label="fine"), odd]).to_csv(root / "test.csv", index=False)
    for folder, count in (("parts", 40), ("judge/good", 12), ("judge/crack/deep", 11)):
        (root / folder).mkdir(parents=True)
        for place in range(count):
            pixels = RNG.integers(0, 40, (12, 14)) + 8 * np.arange(12)[:, None]
            pixels = 255 - pixels if "crack" in folder else pixels
            image = Image.fromarray(pixels.astype(np.uint8)).resize((14, 12))
            image.save(root / folder / f"{place}.png")
    for name, seed, cyclist in (("film/one", 1, None), ("test/two", 2, (20, 40)), ("test/three", 3, (5, 15))):
        (root / name).mkdir(parents=True)
        for place, frame in enumerate(street(60, seed, cyclist)[:, ::4, ::4]):
            Image.fromarray(frame).save(root / name / f"{place}.png")
        if cyclist:
            labels = np.zeros(60, dtype=int)
            labels[slice(*cyclist)] = 1
            (root / "labels").mkdir(exist_ok=True)
            np.save(root / "labels" / f"{Path(name).name}.npy", labels)
    net = ["--width", "4", "--width", "6"]
    return {
        "table": Case(
            "table", root / "normal.csv", root / "test.csv",
            ["--ignore", "id", "--width", "8", "--width", "3"], ["--labels", "label", "--normal", "fine"], ["row"],
        ),
        "images": Case(
            "images", root / "parts", root / "judge",
            [*net, "--stride", "2,2", "--stride", "2,2", "--batch-size", "16"], [], ["path"],
        ),
        "video": Case(
            "video", root / "film", root / "test",
            [*net, "--stride", "1,2,2", "--stride", "2,2,2", "--native-size", "--length", "4"],
            ["--labels", str(root / "labels")], ["path", "frame", "time"],
        ),
    }  # fmt: skip


@pytest.fixture(scope="module")
def models(cases: dict[str, Case], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A model of each kind, fitted through the command line."""
    folder = tmp_path_factory.mktemp("models")
    for case in cases.values():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                sys,
                "argv",
                ["memae", "fit", case.kind, str(case.normal), "-o", str(folder / case.kind), *SMALL, *case.options],
            )
            patch.setattr("warnings.showwarning", None)
            with pytest.raises(SystemExit) as stop:
                cli.main()
            assert not stop.value.code
    assert sorted(path.name for path in folder.iterdir()) == sorted(cases)  # no checkpoint is left
    return {kind: folder / kind for kind in cases}


def scorable(case: Case, folder: Path) -> Path:
    """The test data without labels."""
    if case.kind != "table":
        return case.test
    path = folder / "scorable.csv"
    pd.read_csv(case.test).drop(columns="label").to_csv(path, index=False)
    return path


each_kind = pytest.mark.parametrize("kind", ["table", "images", "video"])


# -------------------------------------------------------------------------------------------------------- the commands


@each_kind
def test_fit_equals_python(cases: dict[str, Case], models: dict[str, Path], kind: str) -> None:
    case = cases[kind]
    net: dict[str, Any] = {"widths": (4, 6), "epochs": 2, "warmup": 1, "n_items": 8, "false_alarm_rate": 0.1}
    other = {
        "table": lambda: TabularMemAE(**(net | {"widths": (8, 3), "ignore": ["id"]})),
        "images": lambda: ImageMemAE(**net, strides=((2, 2), (2, 2)), batch_size=16),
        "video": lambda: VideoMemAE(**net, strides=((1, 2, 2), (2, 2, 2)), size=None, length=4),
    }[kind]().fit(case.normal)
    here, there = load(models[kind]).scorer_.state_dict(), other.scorer_.state_dict()
    assert here.keys() == there.keys()
    assert all(np.array_equal(here[name], there[name]) for name in here)


@each_kind
@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl", "stdout"])
def test_score_writes_what_python_says(
    run: Run, cases: dict[str, Case], models: dict[str, Path], tmp_path: Path, kind: str, ending: str
) -> None:
    case, output = cases[kind], tmp_path / f"scores.{ending}"
    source = scorable(case, tmp_path)
    ran = run("score", models[kind], source, *([] if ending == "stdout" else ["-o", output]))
    assert ran.code == 0
    if ending == "stdout":
        output.write_text(ran.out)
    else:
        assert ran.out == ""
        assert "scored" in ran.err
    read = {"parquet": pd.read_parquet, "jsonl": lambda path: pd.read_json(path, lines=True)}
    found = read.get(ending, pd.read_csv)(output)
    assert list(found.columns) == [*case.identity, *JUDGED]
    detector = load(models[kind])
    np.testing.assert_allclose(found["score"], detector.anomaly_score(source), rtol=1e-6)
    np.testing.assert_allclose(found["p_value"], detector.p_value(source), rtol=1e-6)
    np.testing.assert_array_equal(found["is_anomaly"], (detector.predict(source) == -1).astype(int))
    if kind == "table":
        np.testing.assert_array_equal(found["row"], np.arange(80))
    if kind == "images":
        assert len(found) == 23
        assert all(Path(path).is_file() for path in found["path"])
    if kind == "video":
        assert found["frame"].tolist() == [*range(60), *range(60)]
        assert found["path"].unique().tolist() == [str(case.test / "three"), str(case.test / "two")]
        np.testing.assert_allclose(found["time"], found["frame"] / 25)


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl"])
def test_keep_appends_the_input_row(
    run: Run, cases: dict[str, Case], models: dict[str, Path], tmp_path: Path, ending: str
) -> None:
    source, output = scorable(cases["table"], tmp_path), tmp_path / f"o.{ending}"
    assert run("score", models["table"], source, "-o", output, "--keep").code == 0
    read = {"parquet": pd.read_parquet, "jsonl": lambda path: pd.read_json(path, lines=True)}
    found, given = read.get(ending, pd.read_csv)(output), pd.read_csv(source)
    assert list(found.columns) == ["row", *JUDGED, *given.columns]
    pd.testing.assert_frame_equal(found[given.columns], given, check_dtype=False)


def test_keep_of_a_column_named_like_ours(run: Run, tmp_path: Path) -> None:
    pd.DataFrame(RNG.normal(size=(60, 3)), columns=["score", "row", "x"]).to_csv(tmp_path / "t.csv", index=False)
    small = ["--epochs", 1, "--warmup", 0, "--n-items", 4, "--false-alarm-rate", 0.1]
    assert run("fit", "table", tmp_path / "t.csv", "-o", tmp_path / "m", *small).code == 0
    assert run("score", tmp_path / "m", tmp_path / "t.csv", "-o", tmp_path / "o.csv", "--keep").code == 0
    found = pd.read_csv(tmp_path / "o.csv")
    assert list(found.columns) == ["row", *JUDGED, "score_input", "row_input", "x"]


def test_it_says_so_when_most_is_flagged(run: Run, tmp_path: Path) -> None:
    frame = pd.DataFrame(RNG.normal(size=(60, 3)), columns=list("abc"))
    frame.to_csv(tmp_path / "t.csv", index=False)
    (frame + 50).to_csv(tmp_path / "far.csv", index=False)
    assert run("fit", "table", tmp_path / "t.csv", "-o", tmp_path / "m", "--epochs", 2).code == 0  # one of warm-up
    assert "of 60 are flagged" not in run("score", tmp_path / "m", tmp_path / "t.csv").err
    far = run("score", tmp_path / "m", tmp_path / "far.csv").err
    assert "60 of 60 are flagged; if most should be normal" in far
    assert f"see `memae drift {tmp_path / 'm'} {tmp_path / 'far.csv'}`" in far


@pytest.mark.parametrize("kind", ["images", "video"])
def test_maps(run: Run, cases: dict[str, Case], models: dict[str, Path], tmp_path: Path, kind: str) -> None:
    case = cases[kind]
    ran = run(
        "score", models[kind], case.test, "-o", tmp_path / "o.csv", "--maps", tmp_path / "deep" / "maps", "--json"
    )
    assert ran.code == 0
    facts = json.loads(ran.out)
    assert facts["samples"] == len(pd.read_csv(tmp_path / "o.csv"))
    assert facts["flagged"] == pd.read_csv(tmp_path / "o.csv")["is_anomaly"].sum()
    maps = sorted((tmp_path / "deep" / "maps").rglob("*.png"))
    assert len(maps) == facts["samples"]
    size = {"images": (14, 12), "video": (24, 16)}[kind]  # the images have the size that the network sees
    for path in maps[:3]:
        with Image.open(path) as heat:
            assert heat.size == size
    if kind == "images":
        assert (tmp_path / "deep" / "maps" / "crack" / "deep" / "3.png.png").exists()


@each_kind
def test_evaluate_and_inspect(run: Run, cases: dict[str, Case], models: dict[str, Path], kind: str) -> None:
    case = cases[kind]
    ran = run("evaluate", models[kind], case.test, *case.labels, "--json")
    assert ran.code == 0, ran.err
    facts = json.loads(ran.out)
    assert (facts["samples"], facts["anomalous"]) == {"table": (80, 40), "images": (23, 11), "video": (120, 30)}[kind]
    for name in ("auroc", "average_precision", "precision", "recall", "f1"):
        assert 0 <= facts[name]["value"] <= 1
        assert facts[name]["low"] <= facts[name]["value"] <= facts[name]["high"]
    assert facts["auroc"]["value"] > 0.5 or kind == "video"  # one epoch on 16 × 24 pixels finds no cyclist
    if kind == "video":
        assert set(facts["normalisation"]) == {"per_video", "causal", "none"}
        assert facts["normalisation"]["none"]["micro_auroc"]["value"] == facts["auroc"]["value"]
        assert facts["videos"] == 2
    told = run("evaluate", models[kind], case.test, *case.labels)
    assert told.code == 0
    assert f"{facts['auroc']['value']:.4f}" in told.out
    assert f"{facts['threshold']:.4g}" in told.out
    looser = run("evaluate", models[kind], case.test, *case.labels, "--false-alarm-rate", "0.3", "--json")
    assert json.loads(looser.out)["threshold"] < facts["threshold"]

    facts = json.loads(run("inspect", models[kind], "--json").out)
    detector = load(models[kind])
    assert facts["kind"] == detector.kind
    measures = {"table": ["error", "distance"], "images": ["error", "surprise", "distance"], "video": ["error"]}
    assert list(facts["score"]["weights"]) == measures[kind]
    assert bool(facts["score"]["kept_samples"]) == ("distance" in measures[kind])
    assert facts["score"]["kept_whole"] == (kind == "table")  # of images their codes
    assert facts["memory"]["items"] == 8
    assert sum(facts["memory"]["use"]) == pytest.approx(1, abs=1e-4)
    assert facts["calibration"]["threshold"] == detector.threshold_
    assert facts["data_sha256"] == detector.checksum_
    told = run("inspect", models[kind])
    assert told.code == 0
    for word in (detector.kind, "8 items", "busiest", detector.checksum_[:16], "held-out", memae.__version__):
        assert word in " ".join(told.out.split())


@each_kind
def test_another_engine_writes_the_same_scores(
    run: Run, cases: dict[str, Case], models: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    pytest.importorskip("onnxruntime")
    source = scorable(cases[kind], tmp_path)
    assert run("score", models[kind], source, "-o", tmp_path / "a.csv").code == 0
    assert run("score", models[kind], source, "-o", tmp_path / "b.csv", "--engine", "onnxruntime").code == 0
    a, b = pd.read_csv(tmp_path / "a.csv"), pd.read_csv(tmp_path / "b.csv")
    np.testing.assert_allclose(a["score"], b["score"], rtol=1e-5)
    figures = [
        json.loads(run("evaluate", models[kind], cases[kind].test, *cases[kind].labels, *how, "--json").out)
        for how in ([], ["--engine", "onnxruntime"])
    ]
    assert figures[0]["auroc"] == figures[1]["auroc"]
    refused = run("score", models[kind], source, "--engine", "tensorrt")
    assert refused.code == 2


def test_false_alarm_rate_of_score_needs_no_refit(
    run: Run, cases: dict[str, Case], models: dict[str, Path], tmp_path: Path
) -> None:
    before = models["table"].read_bytes()
    source = scorable(cases["table"], tmp_path)
    few = json.loads(run("score", models["table"], source, "-o", tmp_path / "a.csv", "--json").out)
    ran = run("score", models["table"], source, "-o", tmp_path / "b.csv", "--json", "--false-alarm-rate", 0.5)
    many = json.loads(ran.out)
    assert many["threshold"] < few["threshold"]
    assert many["flagged"] >= few["flagged"]
    a, b = pd.read_csv(tmp_path / "a.csv"), pd.read_csv(tmp_path / "b.csv")
    pd.testing.assert_frame_equal(a[["score", "p_value"]], b[["score", "p_value"]])
    assert models["table"].read_bytes() == before


def test_values_never_shown_in_training_are_reported(
    run: Run, cases: dict[str, Case], models: dict[str, Path], tmp_path: Path
) -> None:
    rows = pd.read_csv(cases["table"].normal).head(5).assign(kind="zebra")
    for columns in (rows, rows.drop(columns="id")):
        columns.to_csv(tmp_path / "t.csv", index=False)
        ran = run("score", models["table"], tmp_path / "t.csv")
        assert ran.code == 0
        assert "column 'kind' has 5 values that are missing or that training never showed" in ran.err


def test_labels_of_zeros_and_ones_need_no_normal(
    run: Run, cases: dict[str, Case], models: dict[str, Path], tmp_path: Path
) -> None:
    rows = pd.read_csv(cases["table"].test)
    rows.assign(label=(rows["label"] == "bad").astype(int)).to_csv(tmp_path / "t.csv", index=False)
    one = run("evaluate", models["table"], tmp_path / "t.csv", "--labels", "label", "--json")
    two = run("evaluate", models["table"], cases["table"].test, *cases["table"].labels, "--json")
    assert json.loads(one.out) == json.loads(two.out)


def test_fit_tells_and_logs(run: Run, cases: dict[str, Case], tmp_path: Path) -> None:
    case = cases["table"]
    call = ["fit", "table", case.normal, "-o", tmp_path / "m", *SMALL, *case.options]
    ran = run(*call, "--log-dir", tmp_path / "log", "--json")
    facts = json.loads(ran.out)
    assert facts["epochs"] == 2
    assert facts["threshold"] == load(tmp_path / "m").threshold_
    assert "epoch 2/2: loss" in ran.err
    logs = list((tmp_path / "log").rglob("events.out.tfevents.*"))
    assert len(logs) == 1
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "log")).Reload()
    assert {"loss", "entropy", "held_out_error", "memory/in_use"} <= set(events.Tags()["scalars"])
    assert [event.step for event in events.Scalars("loss")] == [1, 2]
    told = run(*call)
    assert "kept, held-out error" in told.out


def test_fit_tells_which_rows_are_kept(run: Run, cases: dict[str, Case], tmp_path: Path) -> None:
    rows = pd.read_csv(cases["table"].normal).drop(columns="id")
    rows.to_csv(tmp_path / "t.csv", index=False)
    ran = run("fit", "table", tmp_path / "t.csv", "-o", tmp_path / "m")
    assert "epoch" not in ran.err
    detector = load(tmp_path / "m")
    kept = len(detector.scorer_.kept_samples)
    assert f"{kept} of {len(rows)} rows kept; flags scores above {detector.threshold_:.4g}" in ran.out
    facts = json.loads(run("fit", "table", tmp_path / "t.csv", "-o", tmp_path / "m", "--json").out)
    assert (facts["training_samples"], facts["kept_samples"], facts["epochs"]) == (len(rows), kept, 0)
    assert facts["calibration_samples"] == len(rows)
    assert facts["best_epoch"] is None
    told, known = run("inspect", tmp_path / "m").out, json.loads(run("inspect", tmp_path / "m", "--json").out)
    assert f"none: {kept} of {len(rows)} samples are kept" in told
    assert (known["trained"], known["parameters"], known["memory"]["nearest"]) == (False, 0, 8)
    busiest = max(range(kept), key=lambda item: known["memory"]["use"][item])
    assert known["memory"]["busiest"][0]["sample"] == detector.examples_.names[busiest]
    assert f"{detector.examples_.names[busiest]} {max(known['memory']['use']):.1%}" in " ".join(told.split())


# -------------------------------------------------------------------------------------------------- options and help


def test_the_papers_protocol_is_an_option_and_others_still_apply(
    run: Run, cases: dict[str, Case], tmp_path: Path
) -> None:
    case, model = cases["images"], tmp_path / "m"
    ran = run("fit", "images", case.normal, "-o", model, "--protocol", "paper", "--epochs", 1, "--n-items", 5)
    assert ran.code == 0, ran.err
    found = load(model).get_params()
    expected = ImageMemAE.paper(epochs=1, n_items=5).get_params()
    assert found == expected
    assert ImageMemAE.paper().get_params()["temperature"] == 1.0
    assert load(model).scorer_.kept is None
    assert load(model).spec_.widths == (32, 16, 8)


@pytest.mark.parametrize(
    "command",
    [[], ["fit", "table"], ["fit", "images"], ["fit", "video"], ["score"], ["evaluate"], ["inspect"], ["demo"]],
    ids=" ".join,
)
def test_help_has_an_example(run: Run, command: list[str]) -> None:
    for option in ("--help", "-h"):
        ran = run(*command, option)
        assert ran.code == 0
        assert "Example" in ran.out
        assert "memae " + " ".join(command) in " ".join(ran.out.split())


def test_version(run: Run) -> None:
    assert run("--version") == (0, f"memae {memae.__version__}\n", "")


@pytest.mark.parametrize(
    "call",
    [
        ["nonsense"], ["fit"], ["fit", "sound", "x", "-o", "y"], ["fit", "table"], ["fit", "table", "x"], ["score"],
        ["fit", "table", "x", "-o", "y", "--epochs", "many"], ["fit", "table", "x", "-o", "y", "--similarity", "l1"],
        ["score", "m", "x", "--json"], ["fit", "images", "x", "-o", "y", "--stride", "2x2"], ["inspect", "m", "--nope"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_wrong_usage_is_code_2(run: Run, call: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ran = run(*call)
    assert ran.code == 2
    assert not list(tmp_path.iterdir())


def test_the_program_itself(cases: dict[str, Case], models: dict[str, Path], tmp_path: Path) -> None:
    """The installed script: codes, streams, and a reader that goes away."""
    ran = subprocess.run([MEMAE, "inspect", tmp_path / "none"], capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert ran.stdout == ""
    assert ran.stderr.startswith("memae: error: ")
    assert ran.stderr.count("\n") == 1
    with subprocess.Popen(
        [MEMAE, "score", models["table"], scorable(cases["table"], tmp_path)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as piped:  # fmt: skip
        piped.stdout.close()  # type: ignore[union-attr]
        assert piped.stderr.read() == b""  # type: ignore[union-attr]


# ------------------------------------------------------------------------------------------------------ interruptions


PROGRAM = """
import signal, sys, torch
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
torch.set_num_threads(1)
from memae.estimators import TabularMemAE
TabularMemAE.fit_steps.__kwdefaults__["every"] = 0.02
sys.argv = {arguments!r}
sys.stdout = sys.stderr = open({log!r}, "a")
from memae.cli import main
main()
"""


@pytest.fixture(scope="module")
def server() -> Any:
    """Starts processes that have imported everything already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["memae.estimators", "memae.cli.fit", "memae.cli.progress"])
    return context


@pytest.fixture
def started(server: Any, tmp_path: Path, cases: dict[str, Case]) -> Iterator[Callable[..., Any]]:
    """Starts a training of some seconds in a process of its own that writes a checkpoint after every step."""
    processes = []
    case = cases["table"]
    options = ["--epochs", "40", "--warmup", "5", "--n-items", "8", "--false-alarm-rate", "0.1", *case.options]

    def start(output: Path, *more: str) -> Any:
        arguments = ["memae", "fit", "table", str(case.normal), "-o", str(output), *options, *more]
        code = PROGRAM.format(arguments=arguments, log=str(tmp_path.parent / f"{tmp_path.name}.log"))
        process = server.Process(target=exec, args=(code, {}))
        process.start()
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()


def contents(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header without what a clock says, and tensors, of a model file."""
    with safe_open(path, "np") as file:
        header = json.loads(file.metadata()["memae"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    header.pop("sha256")
    for epoch in header["history"]:
        epoch.pop("seconds")
    return header, tensors


def stamp(checkpoint: Path) -> int:
    return checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0


def wait_for(checkpoint: Path, process: Any) -> None:
    """Until the process has written a checkpoint of its own."""
    before, limit = stamp(checkpoint), time.monotonic() + 30
    while stamp(checkpoint) in (0, before) and process.is_alive() and time.monotonic() < limit:
        time.sleep(0.002)


def test_killed_and_resumed_is_the_same_model(started: Callable[..., Any], tmp_path: Path) -> None:
    undisturbed = started(tmp_path / "whole")
    undisturbed.join(60)
    assert undisturbed.exitcode == 0
    output, checkpoint = tmp_path / "killed", tmp_path / "killed.checkpoint"
    moments = np.random.default_rng(1)
    kills = 0
    for _ in range(6):
        process = started(output, "--resume")
        wait_for(checkpoint, process)
        time.sleep(float(moments.uniform(0, 0.05)))
        process.kill()
        process.join(30)
        kills += process.exitcode == -signal.SIGKILL
        assert not output.exists() or process.exitcode == 0
        if output.exists():
            break
    assert kills >= 3
    assert not output.exists()
    last = started(output, "--resume")
    last.join(60)
    assert last.exitcode == 0
    (header, tensors), (other, others) = contents(tmp_path / "whole"), contents(output)
    assert header == other
    assert tensors.keys() == others.keys()
    assert all(tensors[name].tobytes() == others[name].tobytes() for name in tensors)
    assert not checkpoint.exists()


def test_interrupted_leaves_the_checkpoint_and_no_model(started: Callable[..., Any], tmp_path: Path) -> None:
    output, checkpoint = tmp_path / "m", tmp_path / "m.checkpoint"
    output.write_bytes(b"what was there before")
    process = started(output, "--epochs", "100000")
    wait_for(checkpoint, process)
    os.kill(process.pid, signal.SIGINT)
    process.join(30)
    assert process.exitcode == 130
    assert output.read_bytes() == b"what was there before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m", "m.checkpoint"]
    told = (tmp_path.parent / f"{tmp_path.name}.log").read_text()
    assert "Traceback" not in told
    assert "interrupted" in told
    assert "m.checkpoint is kept; the same command with --resume continues from it" in told


def test_a_checkpoint_of_other_options_is_refused(run: Run, cases: dict[str, Case], tmp_path: Path) -> None:
    case, output = cases["table"], tmp_path / "m"
    events = TabularMemAE(epochs=3, warmup=1, n_items=8, false_alarm_rate=0.1).fit_steps(
        pd.read_csv(case.normal).drop(columns="id"), checkpoint=tmp_path / "m.checkpoint", every=0.0
    )
    for _ in range(3):
        next(events)
    assert (tmp_path / "m.checkpoint").exists()
    call = ["fit", "table", case.normal, "-o", output, *SMALL, *case.options]
    ran = run(*call, "--resume")
    assert ran.code == 1
    assert "other data or options" in ran.err
    assert (tmp_path / "m.checkpoint").exists()
    ran = run(*call)
    assert ran.code == 1  # a forgotten --resume does not cost hours
    assert "from a training that was stopped or is still running; continue it with --resume, or delete it" in ran.err
    (tmp_path / "m.checkpoint").unlink()
    assert run(*call).code == 0
    again = run(*call, "--resume")
    assert again.code == 0
    assert "there is no" in again.err
    assert "the training starts anew" in again.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m"]


def test_evaluate_leaves_out_what_the_model_does_not_know(
    run: Run, cases: dict[str, Case], models: dict[str, Path], tmp_path: Path
) -> None:
    case = cases["table"]
    pd.read_csv(case.test).assign(more=1.0).to_csv(tmp_path / "more.csv", index=False)
    assert "'more' left out" in run("evaluate", models["table"], tmp_path / "more.csv", *case.labels).err
    assert run("evaluate", models["table"], tmp_path / "more.csv", *case.labels, "--strict").code == 1
    told = run("evaluate", models["table"], tmp_path / "more.csv", *case.labels, "--ignore", "more", "--json")
    plain = run("evaluate", models["table"], case.test, *case.labels, "--json")
    assert told.code == 0, told.err
    assert json.loads(told.out) == json.loads(plain.out)
    assert run("evaluate", models["images"], cases["images"].test, "--ignore", "more").code == 1


@pytest.mark.parametrize("kind", ["table", "images", "video"])
def test_recalibrate_writes_a_model_with_another_threshold(
    run: Run, models: dict[str, Path], cases: dict[str, Case], tmp_path: Path, kind: str
) -> None:
    old, source = models[kind].read_bytes(), cases[kind].test
    more = ["--ignore", "label"] if kind == "table" else []
    new = tmp_path / "new.memae"
    ran = run("recalibrate", models[kind], source, "-o", new, "--false-alarm-rate", 0.25, *more)
    assert ran.code == 0, ran.err
    detector = load(models[kind])
    scores = detector.anomaly_score(pd.read_csv(source).drop(columns="label") if kind == "table" else source)
    wanted = detector.recalibrate(scores, false_alarm_rate=0.25).threshold_
    assert load(new).threshold_ == wanted
    assert f"flags scores above {wanted:.4g}" in ran.out
    assert f"false-alarm rate 0.25 from {len(scores)} normal samples" in ran.out
    assert models[kind].read_bytes() == old
    few = run("recalibrate", models[kind], source, "-o", tmp_path / "few", "--false-alarm-rate", 0.0001, *more)
    assert few.code == 1
    assert "at best, not 0.0001; give 9999 or more, or a higher --false-alarm-rate" in few.err
    assert not (tmp_path / "few").exists()
    same = run("recalibrate", new, source, "-o", new, *more)
    assert same.code == 1
    assert "is not written" in same.err


def test_update_writes_a_second_model(
    run: Run, models: dict[str, Path], cases: dict[str, Case], tmp_path: Path
) -> None:
    old = models["table"].read_bytes()
    ran = run("update", models["table"], cases["table"].normal, "-o", tmp_path / "new.memae", "--epochs", 1)
    assert ran.code == 0, ran.err
    assert "flags scores above" in ran.out
    assert models["table"].read_bytes() == old
    assert len(load(tmp_path / "new.memae").history_) == len(load(models["table"]).history_) + 1
    more = pd.read_csv(cases["table"].normal).assign(extra=1)
    more.to_csv(tmp_path / "more.csv", index=False)
    strict = run("update", models["table"], tmp_path / "more.csv", "-o", tmp_path / "x.memae", "--strict")
    assert (strict.code, "'extra' not known" in strict.err) == (1, True)
    assert run("update", models["table"], tmp_path / "more.csv", "-o", tmp_path / "more.memae", "--epochs", 1).code == 0
    same = run("update", models["table"], cases["table"].normal, "-o", models["table"])
    assert same.code == 1
    assert "is not written" in same.err
    refused = run("update", models["images"], cases["images"].normal, "-o", tmp_path / "x.memae", "--strict")
    assert "--strict is for tables" in refused.err
    refused = run("update", models["images"], cases["table"].normal, "-o", tmp_path / "x.memae")
    assert refused.code == 1
    assert "the memory of this detector was trained, on pixels" in refused.err
    refused = run("update", models["video"], cases["video"].normal, "-o", tmp_path / "x.memae")
    assert refused.code == 1
    assert "the memory of this detector was trained on pixels" in refused.err
    assert not (tmp_path / "x.memae").exists()
