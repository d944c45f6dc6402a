"""Scoring a video file, including decoding and scaling, compared with the model alone on clips in memory."""

import tempfile
import time
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch

from measurements.timing import interleaved, ratio
from memae import VideoMemAE
from memae.data.clips import Clips
from memae.data.videos import read_video
from reproduction.datasets import DATA

FRAMES, SIZE, LENGTH = 48, (256, 256), 16


def measure() -> dict[str, Any]:
    """Wall time, since decoding may run in parallel with the model; a real clip of UCSD Ped2 as H.264."""
    source = DATA / "UCSD_Anomaly_Dataset.v1p2" / "UCSDped2" / "Train" / "Train001"
    frames = read_video(source).frames[:FRAMES]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ped2.mp4"
        encode(frames, path)
        few = {"step": 8, "epochs": 1, "batch_size": 1, "false_alarm_rate": 0.5}
        detector = VideoMemAE.paper(size=SIZE, **few).fit(frames.numpy())
        found = {engine: _compare(detector.use_engine(engine), path) for engine in ("torch", "openvino")}
    figures = {"speed/video_file/share_of_model_rate": found["torch"]["share"]}
    figures["speed/video_file/share_of_model_rate/openvino"] = found["openvino"]["share"]
    return {"figures": figures, "frames": FRAMES, "cases": {name: each["times"] for name, each in found.items()}}


def _compare(detector: VideoMemAE, path: Path) -> dict[str, Any]:
    clips = Clips([read_video(path, size=SIZE)], LENGTH)
    alone = [clips.take(torch.tensor([start])) for start in range(len(clips))]
    times = interleaved(
        {
            "model": lambda: sum(len(part.score) for part in detector.scorer_.batched(alone)),
            "file": lambda: sum(1 for _ in detector.frames(path)),
            "decoding": lambda: read_video(path, size=SIZE),
        },
        3,
        time.perf_counter,
    )
    return {
        "share": ratio(times["model"], times["file"]),
        "times": {name: timing.as_json() for name, timing in times.items()},
    }


def encode(frames: torch.Tensor, path: Path) -> None:
    """Writes grey frames `(t, 1, h, w)`, uint8, as H.264."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width = frames.shape[2:]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame[0].numpy()), format="gray")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
