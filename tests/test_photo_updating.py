"""New photos join the memory of kept patches without training, and set the thresholds anew."""

import copy
import os
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.covariance import ledoit_wolf
from tests.photographs import SIZE, detector, parts, scratched

from memae import ImageMemAE, load
from memae.errors import InputError, MemaeWarning, OptionError, SchemaError
from memae.estimators import photo_updating, photos
from memae.estimators.wholes import merged, whole_distance
from memae.features import Features
from memae.networks.efficientnet_lite import installed
from memae.patches import farthest_first

tiny = pytest.mark.usefixtures("described_at_random")
TILES = Path(os.environ.get("MEMAE_DATA", "../data")) / "magnetic_tiles"


def striped(count, seed=0):
    """Another sort of normal part: disks with a broad dark stripe."""
    made = parts(count, seed)
    made[:, :, 28:36] = made[:, :, 28:36] // 2
    return made


@pytest.fixture(scope="module")
def fitted(described_at_random):
    """A detector of 30 photos; it must not be changed."""
    return detector().fit(parts(30))


@pytest.fixture(scope="module")
def updated(fitted):
    return fitted.update(striped(30))


# ------------------------------------------------------------------------------------------------------------ scores


def test_a_new_sort_of_part_becomes_normal_and_a_scratch_does_not(fitted, updated):
    new = striped(20, 9)
    assert (fitted.predict(new) == -1).all()
    assert (updated.predict(new) == -1).mean() <= 0.3
    assert (updated.predict(scratched(10)) == -1).all()
    assert updated.drift(striped(30, 5)).verdict == "like"
    assert fitted.drift(striped(30, 5)).verdict == "higher"


def test_photos_of_both_sorts_set_a_threshold_for_both(fitted):
    both = fitted.update(np.concatenate([striped(30), parts(30, 3)]))
    assert (both.predict(striped(40, 9)) == -1).mean() <= 0.25
    assert (both.predict(parts(40, 8)) == -1).mean() <= 0.25
    assert (both.predict(scratched(10)) == -1).all()


def test_the_old_detector_stays_as_it_was(fitted, updated):
    assert np.array_equal(fitted.anomaly_score(scratched(3)), detector().fit(parts(30)).anomaly_score(scratched(3)))
    assert (fitted.learned_, updated.learned_) == (30, 60)
    assert len(fitted.history_) == 1
    assert [each.epoch for each in updated.history_] == [1, 2]
    assert updated.best_epoch_ == updated.history_[1]
    assert updated.checksum_ != fitted.checksum_
    assert updated.calibration_.false_alarm_rate == fitted.calibration_.false_alarm_rate


def test_nothing_is_trained_and_the_scale_of_features_stays(fitted, updated):
    before, after = fitted.scorer_.features, updated.scorer_.features
    assert torch.equal(before.mean, after.mean)
    assert torch.equal(before.deviation, after.deviation)
    for one, two in zip(before.network.parameters(), after.network.parameters(), strict=True):
        assert torch.equal(one, two)


def test_the_memory_keeps_its_size_and_holds_old_and_new_patches(fitted, updated):
    before, after = (each.scorer_.model.memory.items for each in (fitted, updated))
    assert len(before) == len(after) == updated.spec_.memory.items == 40
    old = [bool((before == item).all(1).any()) for item in after]
    assert 5 < sum(old) < 35
    names = updated.examples_.names
    new = [bool(re.fullmatch(r"image \d+ at \(\d+, \d+\) of update 1", name)) for name in names]
    order = updated.examples_.index[:, 0].tolist()
    assert [not new[each] for each in order] == old
    named = dict(zip(map(tuple, before.tolist()), fitted.examples_.index[:, 0].tolist(), strict=True))
    for item, number in zip(after, order, strict=True):
        if tuple(item.tolist()) in named:
            known = named[tuple(item.tolist())]
            assert names[number] == fitted.examples_.names[known]
            assert torch.equal(updated.examples_.thumbnails[number], fitted.examples_.thumbnails[known])


def test_examples_of_new_items_are_cut_from_the_photos_they_name(updated):
    given = striped(30)
    for name, picture in zip(updated.examples_.names, updated.examples_.thumbnails, strict=True):
        if name.endswith(" of update 1"):
            number = int(re.match(r"image (\d+)", name).group(1))
            assert abs(float(picture.float().mean()) - given[number].mean()) < 3


def test_a_memory_with_room_grows_and_loses_nothing():
    small = detector(kept_samples=None).fit(parts(20))
    assert small.spec_.memory.items == 20 * 16
    grown = small.update(parts(20, 3))
    assert grown.spec_.memory.items == 40 * 16
    after = grown.scorer_.model.memory.items
    assert all((after == item).all(1).any() for item in small.scorer_.model.memory.items)
    assert grown.update(parts(20, 4)).spec_.memory.items == 60 * 16


def test_items_are_chosen_farthest_first():
    random = torch.Generator().manual_seed(0)
    x = torch.rand(200, 5, generator=random)
    chosen = farthest_first(x, 20, random).tolist()
    for step in range(1, 20):
        apart = torch.cdist(x, x[chosen[:step]]).amin(1)
        assert float(apart[chosen[step]]) == pytest.approx(float(apart.max()), abs=1e-5)


def test_the_scores_that_calibrate_leave_each_photo_out(updated):
    """Each is the score by a memory without patches of the photo, so that those of new photos are alike."""
    again = updated.anomaly_score(striped(30))
    assert len(updated.calibration_.scores) == len(updated.scorer_.peaks.scores) == 30
    assert updated.calibration_.scores.median() > np.median(again)
    fresh = updated.anomaly_score(striped(200, 12))
    flagged = (fresh > updated.threshold_).mean()
    assert flagged <= 0.3  # 0.1 is promised; of 30 photos, up to 0.25 in 95 %


def test_maps_are_calibrated_by_the_new_photos(fitted, updated):
    assert updated.scorer_.peaks.false_alarm_rate == 0.1
    limit = updated.scorer_.peaks.threshold()
    peaks = [float(found.error_map.max()) for found in updated.explain(striped(60, 11), items=0)]
    assert np.mean(np.array(peaks) > limit) <= 0.3
    assert all(found.regions for found in updated.explain(scratched(5)))


def test_updates_add_up_and_are_repeatable(fitted, updated):
    X = scratched(3)
    assert np.array_equal(fitted.update(striped(30)).anomaly_score(X), updated.anomaly_score(X))
    twice = updated.update(parts(30, 21))
    assert twice.learned_ == 90
    assert {name.rpartition(" of ")[2] for name in twice.examples_.names if " of " in name} == {"update 1", "update 2"}


@tiny
def test_of_many_new_photos_some_are_held_out(monkeypatch, fitted):
    for module in (photos, photo_updating):
        monkeypatch.setattr(module, "CROSSED", 40)
    found = fitted.update(parts(60, 2))
    assert len(found.calibration_.scores) == found._held_out_count(60) < 60
    with pytest.raises(InputError, match=r"45 new photos can promise a false-alarm rate of 0\.\d+ at best"):
        detector(false_alarm_rate=0.02).fit(parts(199)).update(parts(45))


# --------------------------------------------------------------------------------------------- mean and covariance


def test_merged_means_and_covariances_are_those_of_all():
    random = torch.Generator().manual_seed(0)
    old, new = torch.randn(400, 6, generator=random), 2 + 0.5 * torch.randn(100, 6, generator=random)
    found = merged(whole_distance(old), new, 0.2)
    together = torch.cat([old, new])
    assert torch.allclose(found.mean, together.mean(0), atol=1e-6)
    pooled = 0.8 * torch.from_numpy(ledoit_wolf(old.double().numpy())[0])
    pooled += 0.2 * torch.from_numpy(ledoit_wolf(new.double().numpy())[0])
    difference = (new.mean(0) - old.mean(0)).double()
    expected = torch.linalg.inv(pooled + 0.16 * torch.outer(difference, difference))
    made = found.whitening.double() @ found.whitening.double().T
    assert torch.allclose(made, expected, rtol=1e-3, atol=1e-4)
    exact = torch.linalg.inv(torch.cov(together.double().T, correction=0))
    assert torch.allclose(made, exact, rtol=0.2, atol=0.1)


def test_few_new_photos_move_the_mean_and_leave_no_direction_without_variance():
    random = torch.Generator().manual_seed(0)
    old = torch.randn(50, 8, generator=random)
    for count in (1, 2, 3):
        found = merged(whole_distance(old), old[:count] + 1, count / (50 + count), correlated=False)
        assert float(torch.linalg.matrix_norm(found.whitening, 2)) < 2 * float(
            torch.linalg.matrix_norm(whole_distance(old).whitening, 2)
        )


def test_a_euclidean_distance_learns_its_covariance_from_enough_new_photos():
    random = torch.Generator().manual_seed(0)
    old, new = torch.randn(2, 5, generator=random), torch.randn(50, 5, generator=random)
    before = whole_distance(old, correlated=False)
    assert torch.equal(merged(before, new[:2], 0.5, correlated=False).whitening, torch.eye(5))
    assert not torch.equal(merged(before, new, 0.9).whitening, torch.eye(5))


# ---------------------------------------------------------------------------------------------------------- refused


@pytest.mark.parametrize("count", [1, 5, 8])
def test_too_few_new_photos_say_what_they_can_promise(fitted, count):
    promised = f"{1 / (count + 1):.3g}"
    with pytest.raises(InputError, match=rf"{count} new photos? can promise .* {promised} at best, not 0.1: collect 9"):
        fitted.update(parts(count, 3))
    lower = copy.deepcopy(fitted).recalibrate(false_alarm_rate=0.51)
    if count > 1:
        assert len(lower.update(parts(count, 3)).calibration_.scores) == count


def test_photos_that_are_in_the_memory_already_are_told(fitted):
    with pytest.warns(MemaeWarning, match=r"\d+ of 60 new photos have patches that the memory already holds") as told:
        fitted.update(np.concatenate([parts(30), parts(30, 5)]))
    assert 1 <= int(str(told[0].message).split()[0]) <= 30
    assert told[0].filename == __file__


def test_new_photos_are_not_taken_for_old_ones(fitted):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted.update(parts(30, 40))


@tiny
def test_learned_memories_say_why_they_are_not_updated():
    learned = detector(n_items=5, epochs=1, widths=(4,), false_alarm_rate=0.3).fit(parts(12))
    with pytest.raises(OptionError, match=r"was trained, over features \(n_items\)\. Fit it anew with all photos.*or"):
        learned.update(parts(12, 2))
    pixels = ImageMemAE(4, epochs=1, widths=(3,), strides=((2, 2),), false_alarm_rate=0.4).fit(parts(20, size=(8, 8)))
    with pytest.raises(OptionError, match=r"was trained, on pixels\. Fit it anew with all photos, the old and the new"):
        pixels.update(parts(20, 2, size=(8, 8)))


def test_other_units_are_refused(fitted):
    with pytest.raises(SchemaError, match="the model was fitted on grey levels, this data is numbers"):
        fitted.update(parts(20, 3) / 255)


# --------------------------------------------------------------------------------------------- files and commands


def folder(path, made):
    path.mkdir()
    for number, photo in enumerate(made):
        Image.fromarray(photo).save(path / f"{number:02}.png")
    return path


def test_an_updated_model_is_saved_and_loaded_and_explains(updated, tmp_path):
    updated.save(tmp_path / "m.memae")
    other = load(tmp_path / "m.memae")
    X = np.concatenate([striped(3, 5), scratched(3)])
    assert np.array_equal(other.anomaly_score(X), updated.anomaly_score(X))
    assert other.history_ == updated.history_
    assert other.learned_ == 60
    (found,) = other.explain(striped(1, 9))
    assert found.sample.shape == (1, *SIZE)
    assert np.array_equal(other.update(parts(30, 6)).anomaly_score(X), updated.update(parts(30, 6)).anomaly_score(X))


def test_the_command_line_updates_a_model_of_photos(fitted, tmp_path, run):
    old, new = tmp_path / "old.memae", tmp_path / "new.memae"
    fitted.save(old)
    ran = run("update", old, folder(tmp_path / "june", striped(20)), "-o", new)
    assert ran.code == 0, ran.err
    assert re.fullmatch(rf"{new}: flags scores above \d\S* \({old}: \d\S*\)\n", ran.out)
    assert "with 20 images the threshold is rough: of 10,000 new normal ones it will flag " in ran.err
    written = load(new)
    assert written.learned_ == 50
    assert any(re.fullmatch(r"\d\d\.png at \(\d+, \d+\) of update 1", name) for name in written.examples_.names)
    few = run("update", old, folder(tmp_path / "july", striped(3, 2)), "-o", tmp_path / "x.memae")
    assert few.code == 1
    assert "3 new photos can promise a false-alarm rate of 0.25 at best, not 0.1: collect 9 or more" in few.err
    assert not (tmp_path / "x.memae").exists()
    refused = run("update", old, tmp_path / "june", "-o", tmp_path / "x.memae", "--epochs", 2)
    assert "--epochs is for tables with a learned memory" in refused.err
    ran = run("inspect", new)
    assert "none: 40 patches of 50 photos are kept" in ran.out


# ------------------------------------------------------------------------------------------------- magnetic tiles


@pytest.mark.skipif(not TILES.is_dir() or not installed(0), reason="magnetic tiles in MEMAE_DATA and memae[features]")
def test_tiles_that_join_later_help_as_those_of_the_fit():
    from sklearn.metrics import roc_auc_score

    good = sorted((TILES / "train" / "good").glob("*"))[::12]
    odd = [path for kind in ("blowhole", "break", "crack") for path in sorted(TILES.glob(f"test/*{kind}*/*"))[:10]]
    normal = sorted((TILES / "test" / "good").glob("*"))[::8]
    before = ImageMemAE(kept_samples=500, random_state=0, false_alarm_rate=0.1).fit(good[:12])
    after = before.update(good[12:])
    rank = [
        roc_auc_score([0] * len(normal) + [1] * len(odd), each.anomaly_score([*normal, *odd]))
        for each in (before, after)
    ]
    assert rank[1] > rank[0] + 0.02
    assert (after.anomaly_score(normal) > after.threshold_).mean() < 0.35
    assert isinstance(after.scorer_.features, Features)
