"""Readers of the paper's data sets: what is the publisher's is read, and nothing else."""

import gzip
import struct
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
