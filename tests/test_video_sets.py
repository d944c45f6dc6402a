"""Video sets are read as their publishers lay them out, and the doctor finds what is wrong with them."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from memae.errors import OptionError, SchemaError, SourceError
from recording import commands
from reproduction import doctor, video_sets
from reproduction.commands import COMMANDS
from reproduction.datasets import DATA
from reproduction.doctor import diagnose, frames_of
from reproduction.video_sets import Counts, frame_number, gt_frames, video_set

ABNORMAL = np.array([False, False, True, True, True, False])  # the frames of every generated test video
HEIGHT, WIDTH = 16, 24
COUNTS = Counts(2, 12, 2, 12, 6)  # of every generated set
NAMES = ["ped1", "ped2", "avenue", "shanghaitech"]


def noise(seed: int) -> np.ndarray[Any, Any]:
    """(t, h, w) frames, no two alike."""
    return np.random.default_rng(seed).integers(0, 256, (len(ABNORMAL), HEIGHT, WIDTH), dtype=np.uint8)


def marks() -> np.ndarray[Any, Any]:
    """(t, h, w) masks of 0 and 1 that fit `ABNORMAL`: one pixel each."""
    masks = np.zeros((len(ABNORMAL), HEIGHT, WIDTH), dtype=np.uint8)
    masks[ABNORMAL, 3, 5] = 1
    return masks


def images(folder: Path, frames: np.ndarray[Any, Any], form: str, first: int = 1) -> None:
    folder.mkdir(parents=True)
    for number, frame in enumerate(frames, first):
        Image.fromarray(frame).save(folder / form.format(number))


def film(path: Path, frames: np.ndarray[Any, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "gray"
        for frame in frames:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="gray")))
        file.mux(stream.encode())


def cell(path: Path, masks: Any) -> None:
    """A MATLAB file with a 1 x t cell of masks, as Avenue has them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = np.empty((1, len(masks)), dtype=object)
    for number, mask in enumerate(masks):
        cells[0, number] = mask
    savemat(path, {"volLabel": cells}, do_compression=True)


def ucsd(data: Path, name: str) -> Path:
    folder = data / "UCSD_Anomaly_Dataset.v1p2" / f"UCSD{name}"
    for number in (1, 2):
        images(folder / "Train" / f"Train00{number}", noise(number), "{:03}.tif")
        images(folder / "Test" / f"Test00{number}", noise(10 + number), "{:03}.tif")
        images(folder / "Test" / f"Test00{number}_gt", marks() * 255, "{:03}.bmp")
    lines = ["TestVideoFile = {};", "TestVideoFile{end+1}.gt_frame = [3:5];", "TestVideoFile{end+1}.gt_frame=[3:4,5];"]
    (folder / "Test" / f"UCSD{name}.m").write_text("\r\n".join(lines))
    (folder / "Test" / "Test021_1").mkdir()
    (folder / "Test" / "._Test001").write_bytes(b"x")
    return folder


def avenue(data: Path, folder: str = "Avenue Dataset", masks: str = "testing_label_mask") -> Path:
    for number in (1, 2):
        film(data / folder / "training_videos" / f"0{number}.avi", noise(number))
        film(data / folder / "testing_videos" / f"0{number}.avi", noise(10 + number))
        cell(data / folder / masks / f"{number}_label.mat", marks())
    return data / folder


def shanghaitech(data: Path) -> Path:
    folder = data / "shanghaitech"
    for place in ("test_frame_mask", "test_pixel_mask"):
        (folder / "testing" / place).mkdir(parents=True)
    for number in (1, 2):
        film(folder / "training" / "videos" / f"01_00{number}.avi", noise(number))
        images(folder / "testing" / "frames" / f"01_001{number}", noise(10 + number), "{:03}.jpg", first=0)
        np.save(folder / "testing" / "test_frame_mask" / f"01_001{number}.npy", ABNORMAL.astype(np.int8))
        np.save(folder / "testing" / "test_pixel_mask" / f"01_001{number}.npy", marks())
    return folder


def written(data: Path, name: str) -> Path:
    """A whole set below `data`; its folder."""
    return {"avenue": avenue, "shanghaitech": shanghaitech}.get(name, lambda data: ucsd(data, name))(data)


def found(data: Path, name: str = "ped2") -> list[tuple[str, bool, str, int]]:
    """What the doctor finds, without its words."""
    return [finding[:4] for finding in diagnose(video_set(name, data), COUNTS).findings]


def words(data: Path, name: str = "ped2") -> str:
    return doctor.lines(diagnose(video_set(name, data), COUNTS))


class TestReaders:
    @pytest.mark.parametrize("name", NAMES)
    def test_layout(self, tmp_path: Path, name: str) -> None:
        written(tmp_path, name)
        videos = video_set(name, tmp_path)
        expected = {
            "avenue": (["01.avi", "02.avi"], ["01.avi", "02.avi"]),
            "shanghaitech": (["01_001.avi", "01_002.avi"], ["01_0011", "01_0012"]),
        }.get(name, (["Train001", "Train002"], ["Test001", "Test002"]))
        assert ([path.name for path in videos.training], [path.name for path in videos.test]) == expected
        for number in (0, 1):
            labels, masks = videos.labels(number), videos.masks(number)
            assert labels.dtype == bool
            assert labels.tolist() == ABNORMAL.tolist()
            assert masks.dtype == bool
            assert np.array_equal(masks, marks() == 1)

    @pytest.mark.parametrize("name", NAMES)
    def test_nothing_there(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(SourceError) as caught:
            video_set(name, tmp_path)
        assert str(tmp_path) in str(caught.value)
        assert video_sets.PAGES[name] in str(caught.value)
        assert "MEMAE_DATA" in str(caught.value)

    def test_an_empty_folder_is_no_set(self, tmp_path: Path) -> None:
        folder = ucsd(tmp_path, "ped2")
        for video in (folder / "Train").iterdir():
            shutil.rmtree(video)
        with pytest.raises(SourceError, match=r"Train holds no videos; get ped2 from http"):
            video_set("ped2", tmp_path)

    def test_unknown_name(self, tmp_path: Path) -> None:
        with pytest.raises(OptionError, match="'ped3' is no video set; expected one of ped1, ped2"):
            video_set("ped3", tmp_path)

    @pytest.mark.parametrize(
        ("name", "file"),
        [
            ("ped2", "Test/UCSDped2.m"),
            ("avenue", "testing_label_mask/2_label.mat"),
            ("shanghaitech", "testing/test_frame_mask/01_0012.npy"),
        ],
    )
    def test_missing_labels(self, tmp_path: Path, name: str, file: str) -> None:
        path = written(tmp_path, name) / file
        path.unlink()
        with pytest.raises(SourceError) as caught:
            video_set(name, tmp_path).labels(1)
        assert f"{path} is missing; get {name} from {video_sets.PAGES[name]}" in str(caught.value)


class TestUcsd:
    @pytest.mark.parametrize(
        ("ranges", "expected"),
        [
            ("[5:7, 9:10]", {5, 6, 7, 9, 10}),
            ("[5:7,9]", {5, 6, 7, 9}),
            ("[61:63, 140]", {61, 62, 63, 140}),
            ("[5 : 7 9:10]", {5, 6, 7, 9, 10}),
            ("4", {4}),
            ("[]", set()),
        ],
    )
    def test_ranges(self, tmp_path: Path, ranges: str, expected: set[int]) -> None:
        script = tmp_path / "a.m"
        script.write_text(
            f"% gt_frame = 1-based\nTestVideoFile{{end+1}}.gt_frame = {ranges};\n"
            "TestVideoFile{end+1}.gt_frame=[1:2] % two\n"
        )
        assert gt_frames(script) == [expected, {1, 2}]

    @pytest.mark.parametrize(
        "line", ["{end+1}.gt_frame = [1:2:9];", "{end+1}.gt_frame = [a:9];", "{3}.gt_frame = [1:9];"]
    )
    def test_what_is_not_understood_is_refused(self, tmp_path: Path, line: str) -> None:
        script = tmp_path / "a.m"
        script.write_text(f"TestVideoFile{line}")
        with pytest.raises(SourceError, match="has the line"):
            gt_frames(script)

    def test_a_frame_keeps_its_label_when_one_before_it_is_lost(self, tmp_path: Path) -> None:
        folder = ucsd(tmp_path, "ped2")
        (folder / "Test" / "Test001" / "001.tif").unlink()
        assert video_set("ped2", tmp_path).labels(0).tolist() == ABNORMAL[1:].tolist()

    def test_labels_beyond_the_frames(self, tmp_path: Path) -> None:
        folder = ucsd(tmp_path, "ped2")
        (folder / "Test" / "Test001" / "005.tif").unlink()
        with pytest.raises(SchemaError, match="calls frame 5 of Test001 abnormal, which is not there"):
            video_set("ped2", tmp_path).labels(0)

    def test_labels_of_another_number_of_videos(self, tmp_path: Path) -> None:
        shutil.rmtree(ucsd(tmp_path, "ped2") / "Test" / "Test002")
        with pytest.raises(SchemaError, match=r"lists 2 test videos and .* holds 1"):
            video_set("ped2", tmp_path).labels(0)

    def test_masks_of_some_videos(self, tmp_path: Path) -> None:
        shutil.rmtree(ucsd(tmp_path, "ped1") / "Test" / "Test002_gt")
        videos = video_set("ped1", tmp_path)
        assert videos.masks(0) is not None
        assert videos.masks(1) is None
        assert found(tmp_path, "ped1") == [("no-masks", False, "ped1", 1)]

    def test_frames_need_numbers(self) -> None:
        with pytest.raises(SourceError, match=r"a/b.tif has no number"):
            frame_number(Path("a/b.tif"))


class TestAvenue:
    @pytest.mark.parametrize("masks", ["testing_label_mask", "ground_truth_demo/testing_label_mask"])
    @pytest.mark.parametrize("folder", ["Avenue Dataset", "Avenue_Dataset"])
    def test_folders(self, tmp_path: Path, folder: str, masks: str) -> None:
        avenue(tmp_path, folder, masks)
        assert video_set("avenue", tmp_path).labels(1).tolist() == ABNORMAL.tolist()

    @pytest.mark.parametrize("all_empty", [False, True])
    def test_an_empty_cell_marks_nothing(self, tmp_path: Path, all_empty: bool) -> None:
        kept = np.zeros(len(ABNORMAL), bool) if all_empty else ABNORMAL
        masks = [mask if keep else np.zeros((0, 0), np.uint8) for mask, keep in zip(marks(), kept, strict=True)]
        cell(avenue(tmp_path) / "testing_label_mask" / "1_label.mat", masks)
        videos = video_set("avenue", tmp_path)
        assert videos.labels(0).tolist() == kept.tolist()
        assert videos.masks(0).shape == (len(ABNORMAL), *((0, 0) if all_empty else (HEIGHT, WIDTH)))

    @pytest.mark.parametrize(
        ("content", "told"),
        [
            ({"other": np.zeros(3)}, "must hold the variable volLabel, a cell of masks; it lacks it"),
            ({"volLabel": np.zeros((3, 4))}, r"it has float64 \(3, 4\)"),
        ],
    )
    def test_other_content(self, tmp_path: Path, content: dict[str, Any], told: str) -> None:
        savemat(avenue(tmp_path) / "testing_label_mask" / "1_label.mat", content)
        with pytest.raises(SourceError, match=told):
            video_set("avenue", tmp_path).labels(0)

    def test_masks_of_several_sizes(self, tmp_path: Path) -> None:
        cell(avenue(tmp_path) / "testing_label_mask" / "1_label.mat", [np.ones((3, 4)), np.ones((4, 3))])
        with pytest.raises(SourceError, match=r"masks .* of one size"):
            video_set("avenue", tmp_path).masks(0)

    @pytest.mark.parametrize("keep", [0, 40, 200])
    def test_damaged(self, tmp_path: Path, keep: int) -> None:
        file = avenue(tmp_path) / "testing_label_mask" / "1_label.mat"
        file.write_bytes(file.read_bytes()[:keep])
        with pytest.raises(SourceError, match=r"1_label\.mat"):
            video_set("avenue", tmp_path).labels(0)


class TestShanghaiTech:
    def test_no_pixel_masks(self, tmp_path: Path) -> None:
        shutil.rmtree(shanghaitech(tmp_path) / "testing" / "test_pixel_mask")
        assert video_set("shanghaitech", tmp_path).masks(0) is None
        assert found(tmp_path, "shanghaitech") == [("no-masks", False, "shanghaitech", 2)]

    @pytest.mark.parametrize("content", [np.zeros((2, 3)), None])
    def test_damaged_pixel_masks(self, tmp_path: Path, content: Any) -> None:
        file = shanghaitech(tmp_path) / "testing" / "test_pixel_mask" / "01_0011.npy"
        file.write_bytes(b"no array")
        if content is not None:
            np.save(file, content)
        with pytest.raises(SourceError, match=r"01_0011.npy (must hold masks \(t, h, w\)|is not a NumPy array)"):
            video_set("shanghaitech", tmp_path).masks(0)
        assert found(tmp_path, "shanghaitech") == [("unreadable", True, "frames/01_0011", 1)]

    def test_labels_of_another_length(self, tmp_path: Path) -> None:
        folder = shanghaitech(tmp_path) / "testing" / "test_frame_mask"
        np.save(folder / "01_0011.npy", ABNORMAL[:5])
        assert found(tmp_path, "shanghaitech")[0] == ("mismatch", True, "frames/01_0011", 1)


class TestDoctor:
    @pytest.mark.parametrize("name", NAMES)
    def test_finds_nothing_in_a_sound_set(self, tmp_path: Path, name: str) -> None:
        written(tmp_path, name)
        report = diagnose(video_set(name, tmp_path), COUNTS)
        assert report.findings == ()
        assert report.counts == COUNTS

    @pytest.mark.parametrize("lost", [1, 2])
    def test_missing_frame(self, tmp_path: Path, lost: int) -> None:
        (ucsd(tmp_path, "ped2") / "Train" / "Train002" / f"00{lost}.tif").unlink()
        assert found(tmp_path) == [("missing", True, "Train/Train002", 1), ("mismatch", True, "ped2", 1)]
        assert f"the first has the number {lost}" in words(tmp_path)
        assert "11 training frames, the publisher's set has 12" in words(tmp_path)

    def test_an_empty_video_and_one_without_numbers(self, tmp_path: Path) -> None:
        folder = ucsd(tmp_path, "ped2") / "Train"
        for frame in (folder / "Train001").iterdir():
            frame.unlink()
        (folder / "Train002" / "003.tif").rename(folder / "Train002" / "c.tif")
        expected = [("missing", True, f"Train/Train00{number}", 1) for number in (1, 2)]
        assert found(tmp_path) == [*expected, ("mismatch", True, "ped2", 6)]

    def test_unreadable_frames(self, tmp_path: Path) -> None:
        folder = ucsd(tmp_path, "ped2")
        for name in ("004.tif", "005.tif"):
            file = folder / "Test" / "Test001" / name
            file.write_bytes(file.read_bytes()[:-100])
        assert found(tmp_path) == [("unreadable", True, "Test/Test001", 2)]
        assert "2 frames cannot be read, the first: " in words(tmp_path)
        assert "004.tif" in words(tmp_path)

    def test_unreadable_masks(self, tmp_path: Path) -> None:
        (ucsd(tmp_path, "ped2") / "Test" / "Test001_gt" / "004.bmp").write_bytes(b"BM")
        assert found(tmp_path) == [("unreadable", True, "Test/Test001", 1)]
        assert "004.bmp" in words(tmp_path)

    def test_damaged_video_file(self, tmp_path: Path) -> None:
        file = avenue(tmp_path) / "training_videos" / "01.avi"
        file.write_bytes(file.read_bytes()[: file.stat().st_size * 4 // 5])
        first, *_ = diagnose(video_set("avenue", tmp_path)).findings
        assert first[:4] == ("unreadable", True, "training_videos/01.avi", 1)
        assert "01.avi" in first.text
        readable = frames_of(file)[:-1]
        assert readable
        assert all(frame.size == (HEIGHT, WIDTH) for frame in readable)

    def test_duplicates_of_bytes_and_of_pixels(self, tmp_path: Path) -> None:
        folder = ucsd(tmp_path, "ped2") / "Train" / "Train001"
        shutil.copy(folder / "002.tif", folder / "003.tif")
        Image.open(folder / "004.tif").save(folder / "005.tif", compression="tiff_lzw")
        assert (folder / "004.tif").read_bytes() != (folder / "005.tif").read_bytes()
        assert found(tmp_path) == [("duplicate", False, "Train/Train001", 2)]
        assert "the first: 003.tif is 002.tif" in words(tmp_path)

    def test_duplicates_in_a_video_file(self, tmp_path: Path) -> None:
        film(avenue(tmp_path) / "testing_videos" / "02.avi", noise(3)[[0, 1, 1, 1, 2, 3]])
        assert found(tmp_path, "avenue") == [("duplicate", False, "testing_videos/02.avi", 2)]
        assert "the first: frame 2 is frame 1" in words(tmp_path, "avenue")

    def test_no_duplicate_across_an_unreadable_frame(self, tmp_path: Path) -> None:
        images(tmp_path / "a", noise(0)[[0, 1, 0]], "{}.png")
        (tmp_path / "a" / "2.png").write_bytes(b"")
        assert [(bool(frame.error), frame.repeats) for frame in frames_of(tmp_path / "a")] == [
            (False, False),
            (True, False),
            (False, False),
        ]

    def test_the_same_frame_later_on_and_in_another_colour_is_none(self, tmp_path: Path) -> None:
        grey = noise(0)[[0, 1, 0]]
        colour = np.stack([grey[0], grey[0], grey[0]], axis=-1)
        colour[..., 2] ^= 1  # too little for the luma
        images(tmp_path / "a", grey, "{}.png")
        Image.fromarray(colour).save(tmp_path / "a" / "4.png")
        assert not any(frame.repeats for frame in frames_of(tmp_path / "a"))

    @pytest.mark.parametrize("count", [5, 7])
    def test_labels_that_do_not_fit(self, tmp_path: Path, count: int) -> None:
        masks = np.resize(marks(), (count, HEIGHT, WIDTH))
        cell(avenue(tmp_path) / "testing_label_mask" / "2_label.mat", masks)
        # Avenue's labels are its masks
        assert found(tmp_path, "avenue") == [("mismatch", True, "testing_videos/02.avi", 1)] * 2
        assert f"{count} labels for 6 frames" in words(tmp_path, "avenue")

    def test_labels_of_frames_that_are_not_there(self, tmp_path: Path) -> None:
        script = ucsd(tmp_path, "ped2") / "Test" / "UCSDped2.m"
        script.write_text(script.read_text().replace("[3:5]", "[3:9]"))
        assert found(tmp_path) == [("mismatch", True, "Test/Test001", 1), ("mismatch", True, "ped2", 3)]
        assert "calls frame 7 of Test001 abnormal" in words(tmp_path)

    def test_masks_that_do_not_fit(self, tmp_path: Path) -> None:
        folder = ucsd(tmp_path, "ped2") / "Test"
        (folder / "Test001_gt" / "006.bmp").unlink()
        shutil.rmtree(folder / "Test002_gt")
        images(folder / "Test002_gt", marks()[:, :-1] * 255, "{:03}.bmp")
        assert found(tmp_path) == [("mismatch", True, "Test/Test001", 1), ("mismatch", True, "Test/Test002", 6)]
        assert "5 masks for 6 frames" in words(tmp_path)
        assert "masks are 15 x 24 and frames 16 x 24 (h x w)" in words(tmp_path)

    def test_masks_that_contradict_labels(self, tmp_path: Path) -> None:
        script = ucsd(tmp_path, "ped2") / "Test" / "UCSDped2.m"
        script.write_text(script.read_text().replace("[3:5]", "[1, 2, 4, 5]"))
        kind = ("contradiction", False, "Test/Test001")
        assert found(tmp_path) == [(*kind, 1), (*kind, 2), ("mismatch", True, "ped2", 1)]
        assert "1 frame marked by masks, and labelled normal, the first: 003.tif" in words(tmp_path)
        assert "2 frames labelled abnormal, and unmarked, the first: 001.tif" in words(tmp_path)

    @pytest.mark.parametrize(("value", "word"), [(0, "normal"), (1, "abnormal")])
    def test_one_sided_labels(self, tmp_path: Path, value: int, word: str) -> None:
        folder = shanghaitech(tmp_path) / "testing"
        np.save(folder / "test_frame_mask" / "01_0012.npy", np.full(6, value))
        np.save(folder / "test_pixel_mask" / "01_0012.npy", np.full((6, HEIGHT, WIDTH), value))
        assert found(tmp_path, "shanghaitech")[0] == ("one-sided", False, "frames/01_0012", 6)
        assert f"all 6 frames are {word}; " in words(tmp_path, "shanghaitech")

    def test_frames_of_several_sizes(self, tmp_path: Path) -> None:
        folder = ucsd(tmp_path, "ped2") / "Train"
        Image.fromarray(noise(5)[0, :8]).save(folder / "Train001" / "004.tif")
        shutil.rmtree(folder / "Train002")
        images(folder / "Train002", noise(2)[:, :, :20], "{:03}.tif")
        assert found(tmp_path) == [("size", True, "Train/Train001", 1), ("size", False, "ped2", 1)]
        assert "004.tif: 8 x 24 and not 16 x 24" in words(tmp_path)
        assert "1 videos of another size than 16 x 24 (h x w), for instance 16 x 20" in words(tmp_path)

    def test_what_is_not_known_is_not_compared(self, tmp_path: Path) -> None:
        ucsd(tmp_path, "ped2")
        videos = video_set("ped2", tmp_path)
        assert not diagnose(videos).findings
        assert not diagnose(videos, Counts(2, None, 2, None, None)).findings
        assert diagnose(videos, Counts(3, None, 2, None, None)).faults == 1


class TestCommand:
    @pytest.fixture
    def ran(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
        monkeypatch.setattr(doctor, "DATA", tmp_path)
        monkeypatch.setitem(video_sets.PUBLISHED, "ped2", COUNTS)

        def run(*arguments: str) -> tuple[int, str, str]:
            monkeypatch.setattr(sys, "argv", ["reproduction", "doctor", *arguments])
            try:
                commands.main("reproduction", "", COMMANDS)
            except SystemExit as stop:
                return int(stop.code or 0), *capsys.readouterr()
            return 0, *capsys.readouterr()

        return run

    def test_sound(self, tmp_path: Path, ran: Any) -> None:
        ucsd(tmp_path, "ped2")
        told = "ped2: 2 training videos of 12 frames, 2 test videos of 12, 6 of them abnormal\nfaults: 0, remarks: 0\n"
        assert ran("ped2") == (0, told, "")

    def test_remarks_alone(self, tmp_path: Path, ran: Any) -> None:
        folder = ucsd(tmp_path, "ped2") / "Train" / "Train001"
        shutil.copy(folder / "002.tif", folder / "003.tif")
        code, out, _ = ran("ped2")
        assert code == 0
        assert out.splitlines()[1:] == [
            "remark  Train/Train001: 1 frame identical to the frame before, the first: 003.tif is 002.tif",
            "faults: 0, remarks: 1",
        ]

    def test_faults_come_first(self, tmp_path: Path, ran: Any) -> None:
        folder = ucsd(tmp_path, "ped2")
        shutil.copy(folder / "Train" / "Train001" / "002.tif", folder / "Train" / "Train001" / "003.tif")
        (folder / "Test" / "Test002" / "006.tif").write_bytes(b"")
        code, out, _ = ran("ped2")
        assert code == 1
        assert [line[:8] for line in out.splitlines()[1:-1]] == ["fault   ", "remark  "]

    def test_json(self, tmp_path: Path, ran: Any) -> None:
        (ucsd(tmp_path, "ped2") / "Test" / "Test002" / "006.tif").write_bytes(b"")
        code, out, _ = ran("ped2", "--json")
        report = json.loads(out)
        assert code == 1
        assert report["counts"] == COUNTS._asdict()
        assert (report["name"], report["faults"]) == ("ped2", 1)
        (finding,) = report["findings"]
        assert finding["text"].startswith("1 frame cannot be read")
        assert (finding["check"], finding["fault"], finding["where"]) == ("unreadable", True, "Test/Test002")

    def test_no_set(self, tmp_path: Path, ran: Any) -> None:
        code, out, err = ran("avenue")
        assert (code, out) == (2, "")
        assert err.startswith(
            f"reproduction: {tmp_path / 'Avenue Dataset' / 'training_videos'} is missing; get avenue from"
        )


@pytest.mark.skipif(not (DATA / "UCSD_Anomaly_Dataset.v1p2" / "UCSDped2").is_dir(), reason="needs UCSD Ped2")
def test_ped2_as_published() -> None:
    videos = video_set("ped2")
    labels = [videos.labels(number) for number in range(len(videos.test))]
    lengths = [sum(len(video_sets.frame_files(video)) for video in part) for part in (videos.training, videos.test)]
    counts = Counts(len(videos.training), lengths[0], len(videos.test), lengths[1], int(np.concatenate(labels).sum()))
    assert counts == video_sets.PUBLISHED["ped2"] == Counts(16, 2550, 12, 2010, 1648)
    assert [bool(each.all()) for each in labels] == [number in (7, 8, 9, 10) for number in range(12)]
    for number in (2, 5):
        masks = videos.masks(number)
        assert masks is not None
        assert masks.shape == (*labels[number].shape, 240, 360)
        assert np.array_equal(masks.any((1, 2)), labels[number])
