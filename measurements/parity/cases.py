"""Freshly trained detectors, and new samples of real data in every form that a surface takes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from PIL import Image

from memae import ImageMemAE, TabularMemAE, VideoMemAE
from memae.data.videos import read_video
from memae.estimators import Estimator
from reproduction.datasets import kddcup, mnist
from reproduction.video_sets import video_set


class Case(NamedTuple):
    """A freshly trained detector, and the same new samples in every form."""

    detector: Estimator
    samples: Any  # in memory
    source: Path  # a file or a folder of files
    raw: Path  # what the example takes
    kind: str  # Content-Type of the files

    @property
    def model(self) -> Path:
        """The model file."""
        return self.source.with_name("model.memae")


def of_kddcup(folder: Path) -> Case:
    """5,000 rows of the class that the protocol calls normal, learned; 500 others of either class."""
    table = kddcup()
    label = table.pop("label")
    normal = table[label == 0].sample(5_000, random_state=0)
    new = table.drop(normal.index).groupby(label, group_keys=False).sample(250, random_state=0).reset_index(drop=True)
    source = folder / "new.csv"
    new.to_csv(source, index=False)
    return Case(TabularMemAE().fit(normal), new, source, source, "text/csv")


def of_mnist(folder: Path) -> Case:
    """1,000 images of an 8, learned; 200 test images of all digits."""
    images = mnist()
    learned, new = images.pixels[:60_000][images.labels[:60_000] == 8][:1000], images.pixels[60_000:60_200]
    source = folder / "new"
    source.mkdir()
    for number, pixels in enumerate(new):
        Image.fromarray(pixels).save(source / f"{number:03d}.png")
    np.save(folder / "new.npy", new[:, None])
    return Case(ImageMemAE(epochs=4).fit(learned), new, source, folder / "new.npy", "image/png")


def of_ped2(folder: Path) -> Case:
    """Four training videos of Ped2, small, learned; 90 of their frames and 90 of a test video as one lossless film."""
    videos = video_set("ped2")
    frames = [
        read_video(path, size=(64, 96)).frames.numpy().round().astype(np.uint8)
        for path in (*videos.training[::4], videos.test[3])
    ]
    new = np.concatenate([frames[0][:90], frames.pop()[:90]])
    source = folder / "new.mkv"
    with av.open(source, "w") as file:
        stream = file.add_stream("ffv1", rate=10, width=96, height=64, pix_fmt="gray")
        for pixels in new[:, 0]:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="gray")))
        file.mux(stream.encode())
    np.save(folder / "new.npy", new)
    detector = VideoMemAE(100, size="native", epochs=3).fit([video[:, 0] for video in frames])
    return Case(detector, new[:, 0], source, folder / "new.npy", "video/x-matroska")


CASES: dict[str, Callable[[Path], Case]] = {"kddcup": of_kddcup, "mnist": of_mnist, "ped2": of_ped2}
