"""Frame errors and error maps of videos: figures against the definitions, written out."""

import argparse
import json
from functools import partial

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from memae.errors import InputError, OptionError, SourceError
from memae.frames import spread_over_frames
from reproduction import datasets, evaluate_video, frame_protocol
from reproduction.frame_protocol import by_video, without_edges

PED2 = [180, 180, 150, 180, 150, 180, 180, 180, 120, 150, 180, 180]
AVENUE = [1439, 1211, 923, 947, 1007, 1283, 605, 36, 1175, 841, 472, 1271, 549, 507, 1001, 740, 426, 294, 248, 273, 76]
LENGTHS = [40, 25, 31]

frame_figures = partial(frame_protocol.frame_figures, rounds=20)
pixel_level = partial(frame_protocol.pixel_level, rounds=20)


def generated(seed=0, lengths=LENGTHS):
    """Labels, and errors that are somewhat higher where they are abnormal, each video on a scale of its own."""
    random = np.random.default_rng(seed)
    labels = [random.random(t) < 0.4 for t in lengths]
    errors = [(y + random.normal(size=t)) * random.uniform(1, 9) for y, t in zip(labels, lengths, strict=True)]
    return labels, errors


@pytest.mark.parametrize(("lengths", "whole", "inner"), [(PED2, 2010, 1830), (AVENUE, 15324, 15009)])
def test_the_count_says_which_frames_they_are(lengths, whole, inner):
    for count, edges, lost in ((whole, True, 0), (inner, False, 15)):
        found = by_video(np.arange(count), lengths)
        assert found.edges is edges
        assert [len(each) for each in found.videos] == [t - lost for t in lengths]
        np.testing.assert_array_equal(np.concatenate(found.videos), np.arange(count))
        assert by_video(found.videos, lengths).edges is edges
    with pytest.raises(InputError, match=f"there are {inner + 1} frames.*have {whole}, or {inner} without the 15 edge"):
        by_video(np.zeros(inner + 1), lengths)


def test_centred_frames_are_those_of_clips():
    starts = np.arange(40 - 16 + 1)
    centres = without_edges(np.arange(40))
    assert centres.tolist() == (starts + 8).tolist()
    spread = [clip for _, clip, _ in spread_over_frames([(s, None) for s in starts], 16, lambda: 40)]
    assert without_edges(np.array(spread)).tolist() == starts.tolist()


def test_other_forms_are_refused():
    labels, errors = generated()
    with pytest.raises(InputError, match=r"3 videos of 40, 25, 30 frames.*have 40, 25, 31, or 25, 10, 16 without"):
        by_video([errors[0], errors[1], errors[2][:-1]], LENGTHS)
    with pytest.raises(InputError, match="2 videos of 40, 25 frames"):
        by_video(errors[:2], LENGTHS)
    with pytest.raises(InputError, match=r"expected as errors \(frames,\); a video has float64 \(40, 1\)"):
        by_video(np.zeros((96, 1)), LENGTHS)
    with pytest.raises(InputError, match=r"error maps \(frames, h, w\); a video has float64 \(40,\)"):
        by_video(np.zeros(96), LENGTHS, ndim=3)
    with pytest.raises(InputError, match="a video has <U1"):
        by_video(np.full(96, "a"), LENGTHS)
    with pytest.raises(InputError, match="there are 1 frames"):
        by_video(np.array(1.0), LENGTHS)
    with pytest.raises(InputError, match="a video has 15 frames; 16 are a clip"):
        by_video(np.zeros(55), [40, 15])
    for wrong in (np.nan, np.inf):
        errors[1][3] = wrong
        with pytest.raises(InputError, match=r"errors must be finite.*1 of 25 values are NaN or infinite"):
            frame_figures(labels, errors)
    with pytest.raises(InputError, match="held-out errors must be finite and at least one; 0 of 0"):
        frame_figures(*generated(), held_out=np.zeros(0))
    with pytest.raises(InputError, match="all 96 labels are normal"):
        frame_figures([np.zeros(t, bool) for t in LENGTHS], generated()[1])


def test_frame_figures_are_those_of_the_definitions():
    labels, errors = generated()
    held_out = np.array([-1.0, 0.5, 2.0])
    found = frame_figures(labels, np.concatenate(errors), held_out)
    assert [(each.normalisation, each.edges, each.frames, each.protocol) for each in found] == [
        ("per_video", True, 96, "paper"),
        ("none", True, 96, None),
        ("causal", True, 96, None),
        ("per_video", False, 51, "authors"),
        ("none", False, 51, None),
        ("causal", False, 51, None),
    ]

    def scaled(e):
        return (e - e.min()) / (e.max() - e.min())

    def widened(e):
        parts = [np.r_[e[: u + 1], held_out] for u in range(len(e))]
        return np.array([(e[u] - part.min()) / (part.max() - part.min()) for u, part in enumerate(parts)])

    for figure in found:
        cut = (lambda each: each) if figure.edges else (lambda each: each[8:-7])
        way = {"per_video": scaled, "none": lambda e: e, "causal": widened}[figure.normalisation]
        y, s = [cut(each) for each in labels], [way(cut(each)) for each in errors]
        assert figure.micro.value == pytest.approx(roc_auc_score(np.concatenate(y), np.concatenate(s)), abs=1e-12)
        both = [roc_auc_score(*pair) for pair in zip(y, s, strict=True)]
        assert figure.macro.value == pytest.approx(np.mean(both), abs=1e-12)
        assert figure.micro.low <= figure.micro.value <= figure.micro.high


def test_per_video_scaling_by_hand():
    # Scaled: 0, ¼, …, 1 in both videos, abnormal are the two highest frames of one and the lowest of the other.
    ramp = np.repeat([0.0, 1, 2, 3, 4], 4)
    labels = [ramp >= 3, ramp < 1]
    paper = frame_figures(labels, [ramp + 7, ramp * 100])[0]
    # 12 abnormal (4 each at ¾, 1 and 0), 28 normal (4 each at 0, ¼, ½ and ¼, ½, ¾, 1): half a win for a tie.
    wins = 4 * (20 + 4 / 2) + 4 * (24 + 4 / 2) + 4 * (4 / 2)
    assert paper.micro.value == pytest.approx(wins / (12 * 28), abs=1e-12)
    assert paper.macro.value == pytest.approx(0.5)
    assert paper.protocol == "paper"


@pytest.mark.parametrize("held_out", [None, np.array([0.0, 1.0])])
def test_without_edges_it_does_not_matter_whether_they_were_given(held_out):
    labels, errors = generated(1)
    whole = frame_figures(labels, errors, held_out)
    assert frame_figures(labels, [without_edges(each) for each in errors], held_out) == whole[3:]
    assert frame_figures(labels, np.concatenate(errors).astype(np.float32).astype(float))[3].edges is False


def test_alone_a_video_starts_at_zero_and_sees_its_past_only():
    _, errors = generated()
    alone = frame_protocol.normalised(errors)["causal_alone"]
    for scores, own in zip(alone, errors, strict=True):
        assert scores[0] == 0
        past = [own[: u + 1] for u in range(1, len(own))]
        wanted = [(each[-1] - each.min()) / (each.max() - each.min()) for each in past]
        np.testing.assert_allclose(scores[1:], wanted)
    changed = [np.r_[each[:-1], 1e6] for each in errors]
    for before, after in zip(alone, frame_protocol.normalised(changed)["causal_alone"], strict=True):
        np.testing.assert_array_equal(before[:-1], after[:-1])


# ------------------------------------------------------------------------------------------------------------- pixels


def generated_pixels(seed=0, lengths=(18, 16, 20), size=(9, 7), levels=None):
    """Masks, half of the frames without an abnormal pixel, and error maps with or without ties."""
    random = np.random.default_rng(seed)
    masks = [(random.random((t, *size)) < 0.2) & (random.random((t, 1, 1)) < 0.5) for t in lengths]
    maps = [2 * mask + random.normal(size=mask.shape) for mask in masks]
    maps = [np.round(each * levels) / levels if levels else each for each in maps]
    return masks, [each.astype(np.float32) for each in maps]


def swept(masks, maps):
    """ROC of the criterion as Mahadevan et al. state it, threshold by threshold: false alarms, detections."""
    masks, maps = np.concatenate(masks), np.concatenate(maps)
    abnormal = masks.any((1, 2))
    points = []
    for threshold in np.r_[np.unique(maps)[::-1], -np.inf]:
        above = maps > threshold
        shares = [(up & mask).sum() * 10 >= mask.sum() * 4 for up, mask in zip(above, masks, strict=True)]
        points.append((above[~abnormal].any((1, 2)).mean(), np.array(shares)[abnormal].mean()))
    return np.array(points).T


@pytest.mark.parametrize("levels", [None, 2, 20])
@pytest.mark.parametrize("seed", range(3))
def test_the_criterion_is_that_of_a_sweep_over_thresholds(seed, levels):
    masks, maps = generated_pixels(seed, levels=levels)
    found = pixel_level(np.concatenate(maps), masks, [len(each) for each in masks])
    false_alarms, detections = swept(masks, maps)
    assert found.criterion.value == pytest.approx(np.trapezoid(detections, false_alarms), abs=1e-12)
    fine = np.linspace(0, 1, 20_001)
    # Between its points the curve is a line; where misses and false alarms cross lies the equal error rate.
    along = (
        np.interp(fine, np.linspace(0, 1, len(false_alarms)), false_alarms),
        1 - np.interp(fine, np.linspace(0, 1, len(detections)), detections),
    )
    assert found.equal_error == pytest.approx(along[0][np.argmin(np.abs(along[0] - along[1]))], abs=2e-3)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 10, 15, 25, 35, 45])
def test_forty_percent_of_a_mask_are_a_whole_number_of_pixels(count):
    errors = np.random.default_rng(count).permutation(count).astype(float).reshape(1, 1, count)
    value = frame_protocol.frame_values(errors, np.ones((1, 1, count), bool))[0]
    assert (errors >= value).sum() * 10 >= count * 4
    assert (errors > value).sum() * 10 < count * 4


def test_pixels_of_all_frames_have_the_auroc_of_their_errors():
    masks, maps = generated_pixels()
    lengths = [len(each) for each in masks]
    truth = np.concatenate(masks).ravel()
    exact = [each.astype(np.float16) for each in maps]  # bins keep every float16 apart
    found = pixel_level(exact, masks, lengths)
    wanted = roc_auc_score(truth, np.concatenate(exact).ravel())
    assert found.pixels == pytest.approx(wanted, abs=1e-12)
    scaled = pixel_level([each * 1e-30 for each in maps], masks, lengths)  # whatever the unit
    assert scaled.pixels == pytest.approx(roc_auc_score(truth, np.concatenate(maps).ravel()), abs=1e-4)
    assert scaled.criterion == pixel_level(maps, masks, lengths).criterion


def test_bins_ascend_and_are_as_fine_as_they_say():
    values = np.sort(np.r_[np.random.default_rng(0).normal(size=999), 0, 1e-40, -1e-40, 3e38, -3e38]).astype(np.float32)
    found = frame_protocol.bins(values).astype(int)
    assert (np.diff(found) >= 0).all()
    assert found.max() < 2**20
    assert frame_protocol.bins(np.array([0.0, -0.0]))[0] == frame_protocol.bins(np.array([-0.0]))[0]
    apart = values * np.float32(1 + 2**-10)
    normal = np.abs(values) > 1e-38
    assert (frame_protocol.bins(apart)[normal & (values < 3e38)] != found[normal & (values < 3e38)]).all()
    halves = np.arange(2**15 - 1024, dtype=np.uint16).view(np.float16)  # all that are finite and not negative
    assert len(np.unique(frame_protocol.bins(halves))) == len(halves)


def test_maps_may_lack_edge_frames_and_have_another_size():
    masks, maps = generated_pixels()
    lengths = [len(each) for each in masks]
    inner = pixel_level([without_edges(each) for each in maps], masks, lengths)
    assert (inner.frames, inner.edges) == (sum(lengths) - 45, False)
    cut = [without_edges(each) for each in masks]
    values = [frame_protocol.frame_values(without_edges(m), y) for m, y in zip(maps, cut, strict=True)]
    wanted = roc_auc_score(np.concatenate(cut).any((1, 2)), np.concatenate(values))
    assert inner.criterion.value == pytest.approx(wanted, abs=1e-12)
    larger = [each.repeat(2, 1).repeat(2, 2) for each in masks]
    assert pixel_level(maps, larger, lengths).frames == sum(lengths)
    assert pixel_level([each[:, :4, :3] for each in maps], masks, lengths).frames == sum(lengths)


def test_videos_without_masks_are_left_out():
    masks, maps = generated_pixels()
    lengths = [len(each) for each in masks]
    part = pixel_level(maps, [masks[0], None, masks[2]], lengths)
    assert part == pixel_level([maps[0], maps[2]], [masks[0], masks[2]], [lengths[0], lengths[2]])
    with pytest.raises(InputError, match="no video has masks"):
        pixel_level(maps, [None, None, None], lengths)


def test_wrong_maps_and_masks_are_refused():
    masks, maps = generated_pixels()
    lengths = [len(each) for each in masks]
    with pytest.raises(InputError, match=r"masks of a video are \(17, 9, 7\); \(18, h, w\) is expected"):
        pixel_level(maps, [masks[0][1:], *masks[1:]], lengths)
    with pytest.raises(InputError, match="masks of a video are"):
        pixel_level(maps, [masks[0][0], *masks[1:]], lengths)
    with pytest.raises(InputError, match="there are 53 frames; the 3 test videos have 54, or 9 without"):
        pixel_level(np.concatenate(maps)[1:], masks, lengths)
    for wrong in (np.nan, 1e60):
        broken = [each.astype(np.float64) for each in maps]
        broken[2][17, 0, 0] = wrong
        with pytest.raises(InputError, match="one between the frames 16 and 19 of a video is NaN or infinite"):
            pixel_level(broken, masks, lengths)


# ------------------------------------------------------------------------------------------------------- the command


def command(*words):
    parser = argparse.ArgumentParser()
    evaluate_video.add_arguments(parser)
    arguments = parser.parse_args([str(word) for word in words])
    evaluate_video.main(arguments)


def test_arrays_are_read_from_either_file(tmp_path):
    arrays = [np.arange(3.0), np.arange(5.0)]
    np.save(tmp_path / "one.npy", arrays[0])
    np.savez(tmp_path / "each.npz", *arrays)
    np.testing.assert_array_equal(evaluate_video.read(tmp_path / "one.npy"), arrays[0])
    for found, wanted in zip(evaluate_video.read(tmp_path / "each.npz"), arrays, strict=True):
        np.testing.assert_array_equal(found, wanted)
    (tmp_path / "text.npy").write_text("1\n2\n")
    np.save(tmp_path / "object.npy", np.array([[1], None], dtype=object), allow_pickle=True)
    (tmp_path / "cut.npz").write_bytes((tmp_path / "each.npz").read_bytes()[:-30])
    (tmp_path / "named.npz").write_bytes((tmp_path / "one.npy").read_bytes())
    for name in ("missing.npy", "text.npy", "object.npy", "cut.npz", "named.npz"):
        with pytest.raises(SourceError, match=rf"{name} cannot be read.*np\.save"):
            evaluate_video.read(tmp_path / name)


def test_no_rounds_make_no_interval():
    with pytest.raises(OptionError, match="--rounds must be 1 or more; got 0"):
        command("errors.npy", "--dataset", "ped2", "--rounds", 0)


def test_the_table_tells_what_does_not_exist():
    shown = evaluate_video.lines(frame_figures([np.arange(20) > 10], [np.arange(20.0)]))
    assert shown[1].split() == ["per_video", "with", "20", "1.0000", "1.0000", "paper"]
    assert shown[2].split()[-1] == "–"
    told = shown[shown.index("") + 1 :]
    assert [line.split(":")[0] for line in told] == ["per_video", "paper", "none", "causal_alone", "authors"]


@pytest.mark.skipif(not (datasets.DATA / "UCSD_Anomaly_Dataset.v1p2").exists(), reason="needs UCSD Ped2")
def test_the_command_judges_errors_of_ped2(tmp_path, capsys):
    from reproduction.video_sets import video_set

    labels = [video_set("ped2").labels(index) for index in range(12)]
    assert [len(each) for each in labels] == PED2
    random = np.random.default_rng(0)
    errors = np.concatenate(labels) + random.random(2010) * 1.5
    np.save(tmp_path / "errors.npy", errors)
    np.save(tmp_path / "normal.npy", random.random(300))
    np.save(tmp_path / "maps.npy", np.broadcast_to(errors[:, None, None], (2010, 4, 6)).astype(np.float16))
    files = tmp_path / "errors.npy", "--dataset", "ped2", "--normal", tmp_path / "normal.npy", "--rounds", 20
    command(*files, "--maps", tmp_path / "maps.npy", "--json")
    found = json.loads(capsys.readouterr().out)
    assert [each["frames"] for each in found["frame_level"]] == [2010] * 3 + [1830] * 3
    assert [each["protocol"] for each in found["frame_level"]] == ["paper", None, None, "authors", None, None]
    # Maps of one value a frame are found as well as the frame.
    pooled = roc_auc_score(np.concatenate(labels), errors.astype(np.float16))
    assert found["pixel_level"]["criterion"]["value"] == pytest.approx(pooled, abs=1e-9)

    np.save(tmp_path / "errors.npy", np.concatenate([without_edges(each) for each in by_video(errors, PED2).videos]))
    command(*files)
    out = capsys.readouterr().out.splitlines()
    table = out[: out.index("")]
    assert [line.split()[0] for line in table] == ["normalisation", "per_video", "none", "causal"]
    assert table[1].endswith("authors")
