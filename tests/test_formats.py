"""What was filmed otherwise than the training videos is scored with a warning that says how."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.serving import encoded

from memae import VideoMemAE, load
from memae.data.formats import VideoFormat, common_format, format_of
from memae.errors import MemaeWarning

Run = Callable[..., Any]


def test_headers_tell_shape_and_rate(tmp_path: Path, squares: Any) -> None:
    (tmp_path / "a.avi").write_bytes(encoded(squares(10), "avi", "mjpeg", rate=12))
    assert format_of(tmp_path / "a.avi") == VideoFormat(32, 48, 12.0)
    (tmp_path / "frames").mkdir()
    assert format_of(tmp_path / "frames") is None
    Image.fromarray(squares(1)[0]).save(tmp_path / "frames" / "1.png")
    assert format_of(tmp_path / "frames") == VideoFormat(32, 48, None)
    (tmp_path / "b.avi").write_bytes(b"no video")
    assert format_of(tmp_path / "b.avi") is format_of(tmp_path / "c.avi") is None
    assert common_format([tmp_path / "b.avi", tmp_path / "a.avi", tmp_path / "frames"]) == VideoFormat(32, 48, 12.0)
    (tmp_path / "d.avi").write_bytes(encoded(squares(10), "avi", "mjpeg", rate=25))
    with pytest.warns(MemaeWarning, match="d.avi has 25 frames a second, training videos 12"):
        assert common_format([tmp_path / "a.avi", tmp_path / "d.avi"]) is None
    assert common_format([]) is None


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (VideoFormat(288, 352, 25.0), "288 x 352 pixels (h x w), training videos 240 x 360: everything is distorted"),
        (VideoFormat(288, 352, 12.0), "everything is distorted; it has 12 frames a second, training videos 25"),
        (VideoFormat(360, 240, None), "everything is distorted"),
        (VideoFormat(240, 360, 50.0), "has 50 frames a second, training videos 25"),
        (VideoFormat(480, 720, 30.0), None),  # 25 and 30 are both usual, and near
        (VideoFormat(241, 360, None), None),
    ],
)
def test_what_is_unlike(other: VideoFormat, told: str | None) -> None:
    found = other.unlike(VideoFormat(240, 360, 25.0))
    assert (found is None) if told is None else (found is not None and told in found)


def test_a_model_knows_how_its_videos_were_filmed(run: Run, squares: Any, tmp_path: Path) -> None:
    (tmp_path / "normal.avi").write_bytes(encoded(squares(120), "avi", "mjpeg"))
    net: dict[str, Any] = {"length": 4, "widths": (4,), "strides": ((2, 2),), "warmup": 0, "speeds": False}
    detector = VideoMemAE(4, **net, size=(16, 24), epochs=1, false_alarm_rate=0.2).fit(tmp_path / "normal.avi")
    detector.save(tmp_path / "m.memae")
    assert load(tmp_path / "m.memae").format_ == detector.format_ == VideoFormat(32, 48, 25.0)  # type: ignore[union-attr]
    (tmp_path / "slow.avi").write_bytes(encoded(squares(30), "avi", "mjpeg", rate=12))
    (tmp_path / "square.avi").write_bytes(encoded(np.ascontiguousarray(squares(30)[:, :, :32]), "avi", "mjpeg"))
    for name, told in (("slow", "has 12 frames a second"), ("square", "has frames of 32 x 32 pixels")):
        for command in ("score", "watch"):
            ran = run(command, tmp_path / "m.memae", tmp_path / f"{name}.avi")
            assert ran.code == 0
            assert [f"{name}.avi {told}" in line for line in ran.err.splitlines()].count(True) == 1
            assert ran.err.startswith("memae: warning: ")
    assert "warning" not in run("score", tmp_path / "m.memae", tmp_path / "normal.avi").err
    arrays = VideoMemAE(4, **net, epochs=1, false_alarm_rate=0.2).fit(squares(120))
    arrays.save(tmp_path / "arrays.memae")
    assert load(tmp_path / "arrays.memae").format_ is None  # type: ignore[union-attr]
