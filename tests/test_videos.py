"""Videos are read exactly or not at all; clips and streams cut the same frames; labels match their frames."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from PIL import Image

from memae.data import pixels
from memae.data.clips import Clips, sliding
from memae.data.labels import find_labels
from memae.data.videos import FRAME_RATE, Video, find_videos, frame_blocks, read_video, videos_of_array
from memae.errors import InputError, MemaeWarning, OptionError, SchemaError, SourceError

LOSSLESS = {1: ("ffv1", "gray", "gray"), 3: ("ffv1", "bgr0", "rgb24")}


def noise(count: int, height: int, width: int, channels: int = 1, seed: int = 0) -> np.ndarray[Any, Any]:
    """(t, h, w) grey or (t, h, w, 3) colour."""
    shape = (count, height, width) if channels == 1 else (count, height, width, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def encode(
    path: Path, frames: np.ndarray[Any, Any], codec: str = "ffv1", form: str = "gray", times: Any = None
) -> Path:
    """Write frames; `times` are milliseconds, None for 25 frames a second."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=25)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], form
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number, pixel in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixel, format="gray" if pixel.ndim == 2 else "rgb24")
            if times is not None:
                frame.pts, frame.time_base = times[number], Fraction(1, 1000)
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


def folder(path: Path, frames: Any) -> Path:
    path.mkdir(parents=True)
    for number, pixel in enumerate(frames):
        Image.fromarray(pixel).save(path / f"{number}.png")
    return path


def overwrite(path: Path, share: float, count: int) -> Path:
    """Replace bytes from `share` of the file on by noise."""
    content = bytearray(path.read_bytes())
    start = int(len(content) * share)
    content[start : start + count] = np.random.default_rng(1).integers(0, 256, count, dtype=np.uint8).tobytes()
    path.write_bytes(content)
    return path


def numbered(count: int, start: int = 0, name: str = "v") -> Video:
    """A video whose frames hold their own number."""
    frames = torch.arange(start, start + count, dtype=torch.uint8).reshape(-1, 1, 1, 1).expand(-1, 1, 2, 3)
    return Video(name, frames.contiguous(), torch.arange(count, dtype=torch.float64) / FRAME_RATE)


class TestFinding:
    def test_order_labels_and_hidden(self, tmp_path: Path) -> None:
        for name in ("v10.mp4", "v9.AVI", ".hidden.mp4", "notes.txt"):
            (tmp_path / name).write_bytes(b"x")
        folder(tmp_path / "seq2", noise(1, 4, 4))
        folder(tmp_path / "seq2_gt", noise(1, 4, 4))
        folder(tmp_path / "deep" / "seq1", noise(1, 4, 4))
        found = [str(path.relative_to(tmp_path)) for path in find_videos(tmp_path)]
        assert found == ["deep/seq1", "seq2", "v9.AVI", "v10.mp4"]

    def test_a_folder_of_frames_is_one_video(self, tmp_path: Path) -> None:
        where = folder(tmp_path / "frames", noise(2, 4, 4))
        assert find_videos(where) == [where]

    def test_a_file_is_one_video(self, tmp_path: Path) -> None:
        path = encode(tmp_path / "a.mkv", noise(2, 16, 16))
        assert find_videos(path) == [path]

    def test_nothing_there(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match=r"no video.*\.mp4"):
            find_videos(tmp_path)

    @pytest.mark.parametrize("name", ["a.txt", "missing.mp4"])
    def test_no_video_file(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "a.txt").write_text("text")
        with pytest.raises(SourceError, match=name):
            find_videos(tmp_path / name)

    def test_frames_beside_a_video_are_ambiguous(self, tmp_path: Path) -> None:
        where = folder(tmp_path / "v", noise(1, 4, 4))
        (where / "a.mp4").write_bytes(b"x")
        with pytest.raises(SourceError, match="lies beside"):
            find_videos(where)

    def test_loop_of_links_ends(self, tmp_path: Path) -> None:
        folder(tmp_path / "a" / "v", noise(1, 4, 4))
        (tmp_path / "a" / "loop").symlink_to(tmp_path / "a")
        assert find_videos(tmp_path) == [tmp_path / "a" / "v"]


class TestPixels:
    @pytest.mark.parametrize("channels", [1, 3])
    @pytest.mark.parametrize("width", [32, 50, 51])
    def test_lossless_is_exact(self, tmp_path: Path, channels: int, width: int) -> None:
        frames = noise(5, 41, width, channels)
        codec, form, _ = LOSSLESS[channels]
        video = read_video(encode(tmp_path / "a.mkv", frames, codec, form), channels=channels)
        written = torch.from_numpy(frames[:, None] if channels == 1 else frames.transpose(0, 3, 1, 2).copy())
        assert video.frames.dtype == torch.uint8
        assert torch.equal(video.frames, written)

    @pytest.mark.parametrize("size", [None, (20, 24)])
    @pytest.mark.parametrize("stored", [1, 3])
    @pytest.mark.parametrize("channels", [1, 3])
    def test_file_and_folder_agree(
        self, tmp_path: Path, channels: int, stored: int, size: tuple[int, int] | None
    ) -> None:
        frames = noise(12, 33, 47, stored)
        codec, form, _ = LOSSLESS[stored]
        file = read_video(encode(tmp_path / "a.mkv", frames, codec, form), channels=channels, size=size)
        images = read_video(folder(tmp_path / "a", frames), channels=channels, size=size)
        assert torch.equal(file.frames, images.frames)
        assert file.frames.shape == (12, channels, *(size or (33, 47)))
        torch.testing.assert_close(file.times, images.times, rtol=0, atol=0.001)  # Matroska rounds to 1 ms

    @pytest.mark.parametrize(("codec", "form"), [("ffv1", "yuv420p"), ("mjpeg", "yuvj420p")])
    @pytest.mark.parametrize("channels", [1, 3])
    def test_limited_and_full_range(self, tmp_path: Path, codec: str, form: str, channels: int) -> None:
        levels = np.array([0, 128, 255], dtype=np.uint8)
        frames = np.broadcast_to(levels[:, None, None, None], (3, 32, 48, 3)).copy()
        video = read_video(encode(tmp_path / "a.mkv", frames, codec, form), channels=channels)
        off = (video.frames.int() - torch.from_numpy(levels.astype(np.int32)).reshape(3, 1, 1, 1)).abs()
        assert off.max() <= (1 if channels == 1 else 2)  # FFmpeg's full range to RGB gives 253 for white

    def test_blocks_join_to_the_whole(self, tmp_path: Path) -> None:
        path = encode(tmp_path / "a.mkv", noise(11, 16, 16))
        blocks = list(frame_blocks(path, block=4))
        assert [len(frames) for frames, _ in blocks] == [4, 4, 3]
        assert torch.equal(torch.cat([frames for frames, _ in blocks]), read_video(path).frames)

    def test_deep_frames_are_float_in_grey_levels(self, tmp_path: Path) -> None:
        frames = np.stack([np.full((8, 8), value, dtype=np.uint16) for value in (0, 257, 65535)])
        video = read_video(folder(tmp_path / "v", frames))
        assert video.frames.dtype == torch.float32
        assert video.frames[:, 0, 0, 0].tolist() == [0.0, 1.0, 255.0]

    def test_frames_of_a_folder_in_natural_order(self, tmp_path: Path) -> None:
        frames = np.stack([np.full((4, 4), value, dtype=np.uint8) for value in range(12)])
        assert read_video(folder(tmp_path / "v", frames)).frames[:, 0, 0, 0].tolist() == list(range(12))


class TestTimes:
    def test_folder_is_25_a_second(self, tmp_path: Path) -> None:
        assert read_video(folder(tmp_path / "v", noise(3, 4, 4))).times.tolist() == [0.0, 1 / 25, 2 / 25]

    def test_variable_rate_is_told_and_kept(self, tmp_path: Path) -> None:
        path = encode(tmp_path / "a.mkv", noise(6, 16, 16), times=[0, 40, 80, 500, 540, 580])
        with pytest.warns(MemaeWarning, match="variable frame rate") as told:
            video = read_video(path)
        assert len(told) == 1
        np.testing.assert_allclose(video.times, [0, 0.04, 0.08, 0.5, 0.54, 0.58], atol=1e-9)

    def test_rounding_of_the_container_is_no_variable_rate(self, tmp_path: Path) -> None:
        path = encode(tmp_path / "a.mkv", noise(7, 16, 16), times=[0, 33, 67, 100, 133, 167, 200])
        assert len(read_video(path).times) == 7  # a warning would be an error


DAMAGED = [("mpeg4", "yuv420p", end) for end in ("avi", "mp4", "mkv")] + [
    ("libx264", "yuv420p", "mp4"),
    ("libx264", "yuv420p", "mkv"),
    ("ffv1", "gray", "mkv"),
    ("mjpeg", "yuvj420p", "avi"),
]


@pytest.fixture(params=DAMAGED, ids=lambda case: f"{case[0]}.{case[2]}")
def whole(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """An undamaged video of 60 frames of noise."""
    codec, form, end = request.param
    if codec not in av.codecs_available:
        pytest.skip(f"this FFmpeg has no {codec}")
    path = encode(tmp_path / f"a.{end}", noise(60, 64, 80), codec, form)
    assert len(read_video(path).frames) == 60
    return path


class TestDamage:
    def test_in_the_middle(self, whole: Path, capfd: pytest.CaptureFixture[str]) -> None:
        size = whole.stat().st_size
        with pytest.raises(SourceError, match=r"can be read for [1-5]\d frames \(\d\.\d\d s\).*ffmpeg -i"):
            read_video(overwrite(whole, 0.5, size // 8))
        assert capfd.readouterr().err == ""

    def test_cut_off(self, whole: Path, capfd: pytest.CaptureFixture[str]) -> None:
        whole.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
        with pytest.raises(SourceError, match=str(whole)):
            read_video(whole)
        assert capfd.readouterr().err == ""

    def test_at_the_beginning(self, whole: Path) -> None:
        with pytest.raises(SourceError, match=str(whole)):
            read_video(overwrite(whole, 0, 2000))

    def test_good_frames_come_before_the_error(self, tmp_path: Path) -> None:
        path = encode(tmp_path / "a.mkv", noise(60, 64, 80))
        blocks = frame_blocks(overwrite(path, 0.5, path.stat().st_size // 8), block=10)
        written = torch.from_numpy(noise(60, 64, 80))[:, None]
        assert torch.equal(next(blocks)[0], written[:10])
        with pytest.raises(SourceError, match="no further"):
            list(blocks)

    @pytest.mark.parametrize("content", [b"", b"hello " * 100])
    def test_no_video(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "a.mp4"
        path.write_bytes(content)
        with pytest.raises(SourceError, match=str(path)):
            read_video(path)

    def test_sound_only(self, tmp_path: Path) -> None:
        path = tmp_path / "a.mkv"
        with av.open(str(path), "w") as file:
            stream = file.add_stream("pcm_s16le", rate=8000)
            sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), dtype=np.int16), format="s16", layout="mono")
            sound.sample_rate = 8000
            file.mux(stream.encode(sound))
        with pytest.raises(SourceError, match="no video stream"):
            read_video(path)

    @pytest.mark.parametrize("size", [None, (8, 8)])
    def test_size_changes_in_a_folder(self, tmp_path: Path, size: tuple[int, int] | None) -> None:
        where = folder(tmp_path / "v", [*noise(2, 8, 8), *noise(1, 8, 10)])
        with pytest.raises(SourceError, match=r"frame 2 has 8 x 10 .* 8 x 8"):
            read_video(where, size=size)

    def test_size_changes_in_a_file(self, tmp_path: Path) -> None:
        parts = [encode(tmp_path / f"{h}.ts", noise(10, h, 80), "mpeg2video", "yuv420p") for h in (64, 32)]
        path = tmp_path / "both.ts"
        path.write_bytes(b"".join(part.read_bytes() for part in parts))
        with pytest.raises(SourceError, match=r"frame \d+ has 32 x 80 .* 64 x 80"):
            read_video(path)

    def test_one_damaged_frame_of_a_folder_is_named(self, tmp_path: Path) -> None:
        where = folder(tmp_path / "v", noise(3, 32, 32))
        (where / "1.png").write_bytes((where / "1.png").read_bytes()[:300])
        with pytest.raises(SourceError, match=r"1\.png"):
            read_video(where)

    def test_folder_without_frames(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match="no frames"):
            read_video(tmp_path)

    def test_channels(self, tmp_path: Path) -> None:
        with pytest.raises(OptionError, match="channels must be 1"):
            next(frame_blocks(tmp_path, channels=2))


class TestArrays:
    @pytest.mark.parametrize(
        ("shape", "expected"),
        [
            ((5, 8, 9), (5, 1, 8, 9)),
            ((5, 1, 8, 9), (5, 1, 8, 9)),
            ((5, 3, 8, 9), (5, 3, 8, 9)),
            ((5, 8, 9, 3), (5, 3, 8, 9)),
            ((5, 8, 9, 1), (5, 1, 8, 9)),
        ],
    )
    def test_layouts(self, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
        array = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        (video,) = videos_of_array(array)
        assert video.frames.shape == expected
        assert video.name == "0"
        last = array[:, None] if array.ndim == 3 else array
        same = last if last.shape == expected else last.transpose(0, 3, 1, 2)
        assert np.array_equal(video.frames.numpy(), same)

    def test_list_and_stack_are_several(self) -> None:
        names = [video.name for video in videos_of_array([noise(5, 8, 9), noise(7, 8, 9)])]
        assert names == ["0", "1"]
        assert len(videos_of_array(np.zeros((2, 5, 1, 8, 9)))) == 2

    @pytest.mark.parametrize(
        "wrong", [[], np.zeros((8, 9)), np.zeros((5, 2, 8, 9)), np.zeros((0, 8, 9)), np.full((2, 4, 4), np.nan)]
    )
    def test_other_forms(self, wrong: Any) -> None:
        with pytest.raises(InputError):
            videos_of_array(wrong)


class TestClips:
    @pytest.mark.parametrize(("length", "step"), [(1, 1), (3, 1), (3, 2), (4, 5), (10, 1)])
    def test_each_is_the_slice_of_frames(self, length: int, step: int) -> None:
        videos = videos_of_array([noise(10, 5, 6), noise(13, 5, 6, seed=1)])
        clips = Clips(videos, length, step)
        expected = [[v, s] for v, n in enumerate((10, 13)) for s in range(0, n - length + 1, step)]
        assert clips.origin.tolist() == expected
        assert clips.origin.dtype == torch.int64
        assert clips.shape == (1, length, 5, 6)
        batch = clips.take(torch.arange(len(clips)))
        for clip, (video, start) in zip(batch, expected, strict=True):
            assert torch.equal(clip, videos[video].frames[start : start + length].transpose(0, 1))

    def test_any_order_and_repetition(self) -> None:
        clips = Clips([numbered(8)], 3)
        assert clips.take(torch.tensor([5, 0, 5]))[:, 0, 0, 0, 0].tolist() == [5, 0, 5]

    def test_a_batch_does_not_share_memory_with_the_video(self) -> None:
        video = numbered(8)
        Clips([video], 3).take(torch.tensor([0])).fill_(99)
        assert video.frames[0, 0, 0, 0] == 0

    def test_short_videos_are_left_out(self) -> None:
        with pytest.warns(MemaeWarning, match=r"1 of 2 videos .* of 5 frames.*short has 3 frames") as told:
            clips = Clips([numbered(3, name="short"), numbered(6)], 5)
        assert len(told) == 1
        assert clips.origin.tolist() == [[1, 0], [1, 1]]

    def test_all_short(self) -> None:
        with pytest.raises(SchemaError, match=r"short has 3 frames, a clip needs 16"):
            Clips([numbered(3, name="short"), numbered(6)], 16)

    def test_different_sizes(self) -> None:
        with pytest.raises(SchemaError, match=r"of 0 are \(1, 8, 9\) and those of 1 \(1, 8, 10\).*size"):
            Clips(videos_of_array([noise(5, 8, 9), noise(5, 8, 10)]), 2)

    @pytest.mark.parametrize(("length", "step"), [(0, 1), (1, 0)])
    def test_options(self, length: int, step: int) -> None:
        with pytest.raises(OptionError, match="at least 1"):
            Clips([numbered(4)], length, step)

    def test_no_videos(self) -> None:
        with pytest.raises(InputError, match="no videos"):
            Clips([], 2)


class TestSliding:
    @pytest.mark.parametrize("block", [1, 2, 5, 7, 64])
    @pytest.mark.parametrize("step", [1, 2, 3, 9])
    @pytest.mark.parametrize("length", [1, 4])
    def test_cuts_what_clips_cut(self, length: int, step: int, block: int) -> None:
        (video,) = videos_of_array(noise(23, 5, 6))
        clips = Clips([video], length, step)
        streamed = list(sliding(iter(video.frames.split(block)), length, step))
        assert [start for start, _ in streamed] == clips.origin[:, 1].tolist()
        assert torch.equal(torch.cat([clip for _, clip in streamed]), clips.take(torch.arange(len(clips))))

    def test_each_clip_comes_with_the_block_that_completes_it(self) -> None:
        read: list[int] = []

        def blocks() -> Iterator[torch.Tensor]:
            for number, part in enumerate(numbered(12).frames.split(2)):
                read.append(number)
                yield part

        found = sliding(blocks(), 4, 1)
        next(found)
        assert read == [0, 1]

    @pytest.mark.parametrize("step", [1, 4, 40])
    def test_memory_stays_constant(self, step: int) -> None:
        length, block = 4, 8
        parts = (part.clone() for part in numbered(200).frames.split(block))  # of their own memory, as decoded ones
        held = [clip.untyped_storage().nbytes() // (2 * 3) for _, clip in sliding(parts, length, step)]
        assert max(held) <= length - 1 + block

    def test_too_few_frames_give_nothing(self) -> None:
        assert list(sliding([numbered(3).frames], 4, 1)) == []


NAMES, LENGTHS = ["some/where/a.mp4", "some/where/b"], [3, 2]
TRUTH = [[False, True, True], [False, True]]


def labels_npy(where: Path) -> Path:
    np.save(where / "l.npy", np.concatenate(TRUTH))
    return where / "l.npy"


def labels_column(where: Path) -> Path:
    (where / "l.csv").write_text("label\n0\n1\n1\n0\n1\n")
    return where / "l.csv"


def labels_table(where: Path) -> Path:
    rows = ["path,frame,label", "x/b,1,1", "x/a.mp4,2,1", "x/a.mp4,0,0", "x/a.mp4,1,1", "x/b,0,0"]
    (where / "l.csv").write_text("\n".join(rows) + "\n")
    return where / "l.csv"


def labels_masks(where: Path) -> Path:
    for name, truth in zip("ab", TRUTH, strict=True):
        masks = np.zeros((len(truth), 6, 7), dtype=np.uint8)
        masks[truth, 5, 6] = 1  # a single pixel that is hardly visible
        folder(where / f"{name}_gt", masks)
    return where


def labels_arrays(where: Path) -> Path:
    for name, truth in zip("ab", TRUTH, strict=True):
        np.save(where / f"{name}.npy", np.array(truth, dtype=np.uint8))
    return where


class TestLabels:
    @pytest.mark.parametrize("write", [labels_npy, labels_column, labels_table, labels_masks, labels_arrays])
    def test_every_form(self, tmp_path: Path, write: Any) -> None:
        found = find_labels(write(tmp_path), NAMES, LENGTHS)
        assert [labels.tolist() for labels in found] == TRUTH
        assert all(labels.dtype == np.bool_ for labels in found)

    def test_masks_in_natural_order(self, tmp_path: Path) -> None:
        masks = np.zeros((12, 4, 4), dtype=np.uint8)
        masks[10:] = 255
        folder(tmp_path / "a_gt", masks)
        assert find_labels(tmp_path, ["a"], [12])[0].tolist() == [False] * 10 + [True] * 2

    @pytest.mark.parametrize("write", [labels_npy, labels_column])
    def test_counts_in_order(self, tmp_path: Path, write: Any) -> None:
        with pytest.raises(SchemaError, match=r"5 labels for 2 videos of 6 frames"):
            find_labels(write(tmp_path), NAMES, [3, 3])

    @pytest.mark.parametrize("write", [labels_table, labels_masks, labels_arrays])
    def test_counts_of_a_video(self, tmp_path: Path, write: Any) -> None:
        with pytest.raises(SchemaError, match=r"video \S*b has 4 frames and .* 2 labels"):
            find_labels(write(tmp_path), NAMES, [3, 4])

    @pytest.mark.parametrize("write", [labels_masks, labels_arrays])
    def test_video_without_labels(self, tmp_path: Path, write: Any) -> None:
        with pytest.raises(SchemaError, match="video z has no labels"):
            find_labels(write(tmp_path), [NAMES[0], "z"], LENGTHS)

    @pytest.mark.parametrize("values", [[0, 2, 1], [0, 0.5, 1], [0, np.nan, 1], [[0, 1, 1]]])
    def test_other_values(self, tmp_path: Path, values: Any) -> None:
        np.save(tmp_path / "l.npy", values)
        with pytest.raises(SchemaError, match="0"):
            find_labels(tmp_path / "l.npy", ["a"], [3])

    @pytest.mark.parametrize("text", ["label\n0\nyes\n1\n", "label\n0\n3\n1\n", "path,frame\na,0\n", "a,b,c\n1\n"])
    def test_other_tables(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "l.csv").write_text(text)
        with pytest.raises(SchemaError, match=r"l\.csv"):
            find_labels(tmp_path / "l.csv", ["a"], [3])

    def test_a_frame_twice(self, tmp_path: Path) -> None:
        (tmp_path / "l.csv").write_text("path,frame,label\na,0,0\na,1,1\na,1,0\n")
        with pytest.raises(SchemaError, match="each once"):
            find_labels(tmp_path / "l.csv", ["a"], [3])

    def test_pickles_are_not_loaded(self, tmp_path: Path) -> None:
        np.save(tmp_path / "l.npy", np.array([{}, 1, 0], dtype=object), allow_pickle=True)
        with pytest.raises(SourceError, match="not a NumPy array"):
            find_labels(tmp_path / "l.npy", ["a"], [3])

    @pytest.mark.parametrize("name", ["l.txt", "missing.npy"])
    def test_no_labels(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "l.txt").write_text("0")
        with pytest.raises(SourceError, match=name):
            find_labels(tmp_path / name, ["a"], [3])

    def test_names_that_masks_cannot_tell_apart(self, tmp_path: Path) -> None:
        with pytest.raises(SchemaError, match="several videos are called a"):
            find_labels(labels_masks(tmp_path), ["x/a.mp4", "y/a.avi"], [3, 3])


def test_resize_is_that_of_images(tmp_path: Path) -> None:
    frames = noise(2, 16, 24)
    expected = pixels.resize(torch.from_numpy(frames)[:, None], (8, 8))
    assert torch.equal(read_video(folder(tmp_path / "v", frames), size=(8, 8)).frames, expected)
