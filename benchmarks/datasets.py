"""Readers for the data sets as their publishers lay them out; `MEMAE_DATA` says where, `../data` by default."""

import gzip
import os
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

DATA = Path(os.environ.get("MEMAE_DATA", Path(__file__).resolve().parents[2] / "data"))

# Names of the columns, which the publisher's file does not have.
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


def kddcup(data: Path = DATA) -> pd.DataFrame:
    """KDDCUP99 10 percent, 494,021 rows; `label` is 0 for attacks, the normal class of the protocol, 1 for the rest."""
    frame = pd.read_csv(data / "kddcup99" / "kddcup.data_10_percent.gz", header=None, names=KDDCUP_COLUMNS)
    frame["label"] = (frame["label"] == "normal.").astype(int)
    return frame


def mnist_images(part: str, data: Path = DATA) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images `(n, 28, 28)` and labels `(n,)` of MNIST's part "train" or "t10k"."""
    files = (data / "MNIST" / "raw" / f"{part}-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1"))
    pixels, labels = (np.frombuffer(gzip.decompress(file.read_bytes()), np.uint8) for file in files)
    return pixels[16:].reshape(-1, 28, 28), labels[8:]
