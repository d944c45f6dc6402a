"""Training on two processes, started by torchrun, against one process."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from tests import ranks

import memae
from memae.data.samples import InMemory, Mapped, ReadAhead, Selection, Streamed, batch_sizes, divided
from memae.group import ALONE, Group, join
from memae.pretext.speeds import Speeds
from memae.randomness import BatchRandom

ROOT = Path(__file__).parents[1]
PLACES = {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]), "OMP_NUM_THREADS": "1"}
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def launched(*command: str) -> subprocess.CompletedProcess[str]:
    """Two processes of a command, started by torchrun."""
    return subprocess.run(
        [sys.executable, *TORCHRUN, *command],
        env=os.environ | PLACES,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The results of two processes."""
    folder = tmp_path_factory.mktemp("ranks")
    ran = launched("-m", "tests.ranks", "everything", str(folder))
    assert ran.returncode == 0, ran.stderr
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in (0, 1)]


@pytest.mark.parametrize("task", [ranks.images, ranks.films], ids=lambda task: task.__name__)
def test_two_processes_train_as_one(both, task):
    alone = task()
    for each in (found[task.__name__] for found in both):
        assert each["losses"] == pytest.approx(alone["losses"], rel=1e-3)
        assert each["losses"][0] == pytest.approx(alone["losses"][0], rel=1e-5)  # before rounding has grown
        assert each["held_out"] == pytest.approx(alone["held_out"], rel=1e-2)
        assert each["items"] == alone["items"]
    first, second = (found[task.__name__] for found in both)
    assert first["losses"] == second["losses"]
    assert all(torch.equal(value, second["state"][name]) for name, value in first["state"].items())


def test_in_double_precision_two_processes_train_as_one_to_nine_digits(both):
    alone = ranks.exact(ALONE)
    assert both[0]["exact"] == both[1]["exact"] == pytest.approx(alone, rel=1e-9)


@pytest.mark.parametrize("task", [ranks.kept_photos, ranks.kept_films], ids=lambda task: task.__name__)
def test_what_two_processes_keep_is_what_one_keeps(both, task):
    alone = task()
    for each in (found[task.__name__] for found in both):
        assert each["state"].keys() == alone["state"].keys()
        assert all(torch.equal(value, each["state"][name]) for name, value in alone["state"].items())
        assert (each["threshold"], each["items"]) == (alone["threshold"], alone["items"])


def test_batchnorm_of_two_processes_is_that_of_the_whole_batch(both):
    alone = ranks.normed(ALONE)
    first, second = (found["normed"] for found in both)
    outputs = torch.cat([first["outputs"], second["outputs"]], 1)
    assert (first["outputs"].shape[1], second["outputs"].shape[1]) == (3, 4)
    torch.testing.assert_close(outputs, alone["outputs"], rtol=1e-11, atol=1e-13)
    for each in (first, second):
        torch.testing.assert_close(each["gradients"], alone["gradients"], rtol=1e-11, atol=1e-13)
        torch.testing.assert_close(each["state"], alone["state"], rtol=1e-11, atol=1e-13)


def test_tables_are_refused(both):
    for each in both:
        assert "a table is fitted by one process, and 2 were started" in each["table"]


def test_processes_that_are_given_other_data_are_refused(both):
    assert "of 2 processes, number 1 found other data" in both[0]["disagreement"]
    assert both[0]["disagreement"] == both[1]["disagreement"]


def test_a_killed_process_ends_the_others_and_the_same_command_goes_on(run, tmp_path):
    good = tmp_path / "good"
    good.mkdir()
    for number, image in enumerate(ranks.zeros()):
        Image.fromarray(image).save(good / f"{number:03d}.png")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = str(taken.getsockname()[1])
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2"}
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.ranks", "dies", str(tmp_path)],
            env=os.environ | PLACES | where | {"RANK": str(rank)},
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    told, _ = (each.communicate(timeout=300)[1] for each in started)
    assert [each.returncode for each in started] == [3, -9]
    assert "another process of this fit has ended or cannot be reached" in told

    model = tmp_path / "m.memae"
    options = ["--features", "none", "--epochs", "4", "--warmup", "2", "--n-items", "12", "--batch-size", "16"]
    command = ["fit", "images", str(good), *options, "-o", str(model), "--resume"]
    code, _, refusal = run(*command)
    assert code == 1
    assert "was written by 2 processes, and this is a training by 1; start as many as before" in refusal

    script = Path(sys.executable).with_name("memae")
    resumed = launched("--no-python", str(script), *command)
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stdout.count("m.memae: epoch") == 1
    assert resumed.stderr.count("continuing from") == 1
    assert sorted(each.name for each in tmp_path.iterdir()) == ["good", "m.memae"]
    losses = [each.loss for each in memae.load(model).history_]
    alone = memae.ImageMemAE(**ranks.IMAGES).fit(good)
    assert losses == pytest.approx([each.loss for each in alone.history_], rel=1e-3)


@pytest.mark.parametrize("processes", [1, 2, 3, 7])
def test_shares_of_a_batch_make_up_its_mean(processes):
    for samples in (1, 2, 3, 8, 64):
        shares = [Group(rank, processes).share(samples) for rank in range(processes)]
        assert sum(each.weight for each in shares) == pytest.approx(1)
        rows = [row for each in shares for row in range(samples)[each.rows]]
        assert rows == list(range(samples)) * shares[0].holders
        assert shares[0].holders == (1 if samples >= processes else processes)
        assert all(len(range(samples)[each.rows]) for each in shares)


@pytest.mark.parametrize("kind", ["selection", "ahead", "streamed"])
def test_divided_samples_are_parts_of_the_same_batches(kind):
    rows, read = torch.arange(23.0)[:, None], []

    class Watched(InMemory):
        def take(self, index):
            read.append(len(index))
            return super().take(index)

    selection = Selection(Watched(rows), torch.arange(1, 23))
    samples = {
        "selection": Mapped(selection, lambda x: x * 2),
        "ahead": Mapped(ReadAhead(selection), lambda x: x * 2),
        "streamed": Mapped(Streamed(lambda: iter([rows[1:12], rows[12:]]), 22, buffer=8), lambda x: x * 2),
    }[kind]
    whole = list(samples.batches(7, torch.Generator().manual_seed(3)))
    assert batch_sizes(len(samples), 7) == [len(each) for each in whole] == [7, 7, 8]
    read.clear()
    groups = [Group(rank, 3) for rank in range(3)]
    parts = [divided(samples, lambda count, group=group: group.share(count).rows) for group in groups]
    assert [len(each) for each in parts] == [22] * 3
    of_each = [list(each.batches(7, torch.Generator().manual_seed(3))) for each in parts]
    for batch, *mine in zip(whole, *of_each, strict=True):
        assert torch.equal(batch, torch.cat(mine))
    assert kind == "streamed" or sum(read) == 22  # each sample is fetched by one process


def test_random_numbers_of_a_part_are_those_of_the_whole_batch():
    task = Speeds(4, (1, 2, 3), 5)
    x = torch.rand(6, 1, 13, 2, 2)

    def key(rows):
        return task.views(x[rows], BatchRandom(torch.Generator().manual_seed(1), 6, rows)).key

    assert torch.equal(key(slice(0, 6)), torch.cat([key(slice(0, 2)), key(slice(2, 6))]))


def test_a_process_that_was_started_alone_joins_nothing(monkeypatch):
    assert join(torch.device("cpu")) is ALONE
    monkeypatch.setenv("WORLD_SIZE", "1")
    monkeypatch.setenv("RANK", "0")
    assert join(torch.device("cpu")) is ALONE
    values = torch.ones(2)
    assert ALONE.sum(values) is values
    assert ALONE.each(3, lambda number: number) == [0, 1, 2]
