"""Detectors of photos: kept patches of features find a scratch, from one photo or many, and say what they promise."""

import copy
import pickle
import re
import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from tests.photographs import SIZE, detector, parts, scratched

from memae import load
from memae.data.tiles import Tiles
from memae.errors import MemaeWarning, OptionError, SchemaError, SourceError
from memae.estimators import choosing, image, photos
from memae.estimators.networks import Lite
from memae.features import FeatureSpec
from memae.kinds.images import smallest_side
from memae.regions import above

pytestmark = pytest.mark.usefixtures("described_at_random")


@pytest.fixture(scope="module")
def fitted():
    """A detector of 30 photos; it must not be changed."""
    return detector().fit(parts(30))


def told(fit):
    """What a fit returns, and its warnings."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        return fit(), [str(each.message) for each in found]


# ------------------------------------------------------------------------------------------------------------ scores


def test_a_scratch_is_found_and_nothing_is_trained(fitted):
    good, bad = fitted.anomaly_score(parts(20, 7)), fitted.anomaly_score(scratched(10))
    assert bad.min() > max(good.max(), fitted.threshold_)
    assert (fitted.predict(scratched(10)) == -1).all()
    assert fitted.p_value(scratched(10)).max() <= 0.1
    assert [each.epoch for each in fitted.history_] == [1]
    assert fitted.learned_ == 30
    assert fitted.collapse_ is None
    assert fitted.health_.items == 40
    assert fitted.drift(parts(30, 5)).verdict == "like"
    assert fitted.drift(scratched(30)).verdict == "higher"


def test_scores_depend_neither_on_the_batch_nor_on_other_photos(fitted):
    X = np.concatenate([parts(5, 3), scratched(5)])
    together = fitted.anomaly_score(X)
    assert np.array_equal(together, np.concatenate([fitted.anomaly_score(each[None]) for each in X]))
    assert np.array_equal(together[::-1], fitted.anomaly_score(X[::-1]))
    assert np.array_equal(together, -fitted.score_samples(X))


def test_an_explanation_shows_where_and_what_it_was_compared_with(fitted):
    (found,) = fitted.explain(scratched(3), only={1}, items=3)
    assert found.name == "image 1"
    assert found.is_anomaly
    assert found.reconstruction is None
    assert found.sample.shape == (1, *SIZE)
    assert found.regions[0].peak == pytest.approx(float(found.error_map.max()))
    assert 1 <= len(found.items) <= 3
    assert sum(item.weight for item in found.items) == pytest.approx(1)
    for item in found.items:
        assert re.fullmatch(r"image \d+ at \(\d+, \d+\)", item.sample)
        assert item.neighbours[0].thumbnail.shape == (1, 24, 24)


def test_examples_are_cut_from_the_photos_they_name(fitted):
    examples, training = fitted.examples_, parts(30)
    for name, picture in zip(examples.names, examples.thumbnails, strict=True):
        number, row, column = map(int, re.fullmatch(r"image (\d+) at \((\d+), (\d+)\)", name).groups())
        photo = training[number].astype(float)
        assert 0 <= row < SIZE[0]
        assert 0 <= column < SIZE[1]
        assert abs(float(picture.float().mean()) - photo.mean()) < 3  # AROUND is the whole of a photo of 64 pixels
    assert detector(keep_examples=False).fit(parts(12)).examples_ is None


def test_the_same_seed_gives_the_same_detector_and_another_does_not(fitted):
    X = scratched(3)
    assert np.array_equal(clone(fitted).fit(parts(30)).anomaly_score(X), fitted.anomaly_score(X))
    assert not np.array_equal(detector(random_state=1).fit(parts(30)).anomaly_score(X), fitted.anomaly_score(X))


@pytest.mark.parametrize(
    "again",
    [copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))],  # noqa: S301
    ids=["copy", "pickle"],
)
def test_copies_score_the_same(fitted, again):
    assert np.array_equal(again(fitted).anomaly_score(scratched(3)), fitted.anomaly_score(scratched(3)))


def test_of_many_photos_some_are_held_out(monkeypatch):
    monkeypatch.setattr(photos, "CROSSED", 20)
    found = detector().fit(parts(40))
    assert len(found.calibration_.scores) == len(found.scorer_.peaks.scores) == found._held_out_count(40)
    assert found.anomaly_score(scratched(5)).min() > found.threshold_


@pytest.mark.parametrize(("tiles", "expected"), [(2, 10), (15, 15), (1000, 20)])
def test_of_large_photos_fewer_are_held_out_but_enough_for_the_rate(monkeypatch, tiles, expected):
    monkeypatch.setattr(photos, "CROSSED", 20)
    monkeypatch.setattr(image, "CALIBRATED", tiles)
    found = detector(held_out=0.5).fit(parts(40))
    assert len(found.calibration_.scores) == expected
    assert found.calibration_.false_alarm_rate == 0.1


def test_patches_and_tiles_are_bounded(monkeypatch):
    monkeypatch.setattr(photos, "DESCRIBED", 7)
    monkeypatch.setattr(photos, "CANDIDATES", 50)
    seen = []
    real = photos.described
    monkeypatch.setattr(photos, "described", lambda *given: seen.append(real(*given)) or seen[-1])
    detector().fit(parts(20))
    assert len(seen[0].wholes) == 7
    assert 50 <= len(seen[0].patches) <= 56
    assert (seen[0].photo == seen[0].tile).all()


# -------------------------------------------------------------------------------------------------------- few photos


@pytest.mark.parametrize(("count", "rate"), [(2, 1 / 3), (3, 1 / 4), (5, 1 / 6)])
def test_few_photos_promise_little_and_say_so(count, rate):
    found, (warning,) = told(lambda: detector().fit(parts(count)))
    assert warning.startswith(f"{count} normal samples are too few for a false-alarm rate of 0.1, which needs 9;")
    assert found.calibration_.false_alarm_rate == found.scorer_.peaks.false_alarm_rate == pytest.approx(rate)
    assert len(found.calibration_.scores) == count
    good, bad = found.anomaly_score(parts(20, 7)), found.anomaly_score(scratched(10))
    assert np.mean(bad[:, None] > good) > 0.9
    assert bad.max() < 1000  # in bits: measures of the photos that were left out are on the scale of the others'


def test_one_photo_is_calibrated_by_its_mirror_images():
    found, (warning,) = told(lambda: detector().fit(parts(1)))
    assert warning.startswith("a single photo cannot promise any false-alarm rate: the threshold is the highest score")
    assert found.threshold_ == found.calibration_.scores.max()
    X = parts(1)
    mirrored = found.anomaly_score(np.concatenate([X[:, :, ::-1], X[:, ::-1], X[:, ::-1, ::-1]]))
    assert np.array_equal(np.sort(mirrored), found.calibration_.scores.numpy())
    assert found.anomaly_score(X) <= mirrored.min()
    assert np.mean(found.anomaly_score(scratched(10))[:, None] > found.anomaly_score(parts(20, 7))) > 0.9
    assert found.learned_ == 1


def test_one_large_photo_is_many_tiles():
    found, _ = told(lambda: detector().fit(parts(1, size=(64, 400))))
    assert found.learned_ == 1
    assert len(found.calibration_.scores) == 3
    assert np.isfinite(found.anomaly_score(parts(1, 2, size=(64, 300)))).all()


def test_twenty_photos_promise_a_rate_of_a_twentieth():
    found, warnings = told(lambda: detector(false_alarm_rate=0.05).fit(parts(20)))
    assert warnings == []
    assert found.threshold_ == found.calibration_.scores.max()


@pytest.mark.parametrize("count", [1, 2, 20])
@pytest.mark.parametrize("photo", [np.full(SIZE, 128, np.uint8), np.zeros(SIZE, np.uint8), parts(1)[0]])
def test_photos_that_are_all_alike_are_normal_and_others_are_not(photo, count):
    found, _ = told(lambda: detector().fit(np.repeat(photo[None], count, 0)))
    (good,) = found.anomaly_score(photo[None])
    bad = found.anomaly_score(scratched(3))
    assert good <= found.threshold_
    assert (bad > found.threshold_).all()
    assert (bad < 10_000).all()


# --------------------------------------------------------------------------------------------------- kinds of photos


def test_arrays_of_many_sizes_and_kinds():
    X = [*parts(6), *parts(6, 2, (80, 70)), *np.repeat(parts(6, 3)[..., None], 3, -1), *parts(2, 4, (64, 300))]
    found = detector().fit(X)
    assert found.spec_.features.photo == (3, *SIZE)
    assert found.learned_ == 20
    scores = found.anomaly_score([scratched(1)[0], scratched(1, 1, (90, 90)), parts(1, 9)[0]][:1])
    assert scores.shape == (1,)
    assert [tuple(each.heat.shape) for each in found.explain([parts(1)[0], parts(1, 1, (200, 700))[0]])] == [
        (64, 64),
        (183, 640),
    ]


def test_a_long_photo_has_the_score_of_its_highest_tile(fitted):
    good, bad = parts(1, 8)[0], scratched(1)[0]
    row = np.concatenate([good, good, bad, good], 1)
    assert fitted.anomaly_score([row]) == pytest.approx(
        fitted.anomaly_score(np.stack([good, bad])).max(), rel=1e-6
    ) or (fitted.anomaly_score([row]) > fitted.threshold_)
    tiles = Tiles([row], SIZE, channels=1)
    each = torch.cat([found.score for found in fitted.scorer_.batched([tiles.take(torch.arange(len(tiles)))])])
    assert fitted.anomaly_score([row]) == float(each.max())


def test_16_bits_score_like_8(fitted):
    X = scratched(3)
    assert np.array_equal(fitted.anomaly_score(X.astype(np.uint16) * 257), fitted.anomaly_score(X))


def test_grey_photos_score_the_same_as_colour():
    colour = np.repeat(parts(8)[..., None], 3, -1)
    grey, rgb = (told(lambda X=X: detector(false_alarm_rate=0.2).fit(X))[0] for X in (parts(8), colour))
    assert (grey.spec_.features.photo[0], rgb.spec_.features.photo[0]) == (1, 3)
    X = scratched(3)
    np.testing.assert_allclose(grey.anomaly_score(X), rgb.anomaly_score(np.repeat(X[..., None], 3, -1)), rtol=1e-5)
    assert np.array_equal(rgb.anomaly_score(X), rgb.anomaly_score(np.repeat(X[..., None], 3, -1)))


def test_numbers_are_scaled_by_their_range():
    low, high = float(parts(20).min()), float(parts(20).max())
    X, bad = (each.astype(np.float32) / 7 - 5 for each in (parts(20), scratched(3)))
    found = detector(features="efficientnet-lite0").fit(X)
    assert float(found.scorer_.scaling.center) == pytest.approx(low / 7 - 5)
    assert float(found.scorer_.scaling.scale) == pytest.approx((high - low) / 7)
    assert (found.anomaly_score(bad) > found.threshold_).all()
    (shown,) = found.explain(bad[:1])
    assert shown.span == pytest.approx((low / 7 - 5, high / 7 - 5))
    assert 80 < found.examples_.thumbnails.float().mean() < 200
    with pytest.raises(SchemaError, match="the model was fitted on numbers, this data is grey levels"):
        found.anomaly_score(scratched(1))


def test_a_folder_of_files(tmp_path, fitted):
    good = tmp_path / "good"
    good.mkdir()
    for number, photo in enumerate(parts(20)):
        Image.fromarray(photo).save(good / f"{number:02}.png")
    found = detector().fit(good)
    assert np.array_equal(found.anomaly_score(good), detector().fit(parts(20)).anomaly_score(parts(20)))
    assert re.fullmatch(r"\d\d\.png at \(\d+, \d+\)", found.examples_.names[0])
    (good / "07.png").write_bytes(b"no picture")
    (good / "03.png").write_bytes((good / "03.png").read_bytes()[:-900])
    with pytest.raises(SourceError, match=r"07\.png is not a"):
        found.anomaly_score(good)
    with pytest.raises(SourceError, match=r"07\.png is not a"):
        detector().fit(good)


def test_one_broken_file_in_a_folder_is_told_and_the_others_are_scored(tmp_path, fitted, run):
    good, model = tmp_path / "good", tmp_path / "m.memae"
    good.mkdir()
    for number, photo in enumerate(scratched(3)):
        Image.fromarray(photo).save(good / f"{number}.png")
    (good / "1.png").write_bytes((good / "1.png").read_bytes()[:-900])
    fitted.save(model)
    ran = run("score", model, good, "-o", tmp_path / "s.csv")
    assert ran.code != 0
    assert "1.png" in ran.err
    rows = (tmp_path / "s.csv").read_text().splitlines()
    assert [row.split(",")[0].rsplit("/")[-1] for row in rows[1:]] == ["0.png", "2.png"]


# ------------------------------------------------------------------------------------------------------------ options


def test_features_are_taken_where_they_help(monkeypatch):
    assert image.ImageMemAE().features_for(parts(2)).network == Lite(0)
    assert image.ImageMemAE().features_for(parts(2, size=(63, 64))).network is None
    assert image.ImageMemAE(size=(32, 32)).features_for(parts(2)).network is None
    assert image.ImageMemAE().features_for(parts(2) / 255).network is None
    assert image.ImageMemAE(features="none").features_for(parts(2)).network is None
    assert image.ImageMemAE(features="efficientnet-lite2").features_for(parts(2, size=(8, 8))).network == Lite(2)
    monkeypatch.setattr(choosing, "installed", lambda variant: False)
    assert image.ImageMemAE().features_for(parts(2)).network is None
    with pytest.raises(OptionError, match=r"features must be one of auto, none, efficientnet-lite0, .*; got 'dino'"):
        detector(features="dino").fit(parts(2))


def test_small_photos_are_enlarged_at_most_threefold():
    found, _ = told(lambda: detector(size=None).fit(parts(3)))
    assert found.spec_.raw == (1, 192, 192)
    assert smallest_side([parts(1, size=(70, 90))[0]]) == 70


def test_as_many_patches_are_kept_as_wanted():
    assert detector(kept_samples=1).fit(parts(20)).spec_.memory.items == 1
    assert detector(kept_samples=None).fit(parts(20)).spec_.memory.items == 20 * 16
    assert detector(kept_samples=10**6).fit(parts(20)).spec_.memory.items == 20 * 16


def test_a_new_rate_holds_for_maps_too(fitted):
    other = copy.deepcopy(fitted).recalibrate(false_alarm_rate=0.3)
    assert other.scorer_.peaks.false_alarm_rate == 0.3
    assert other.scorer_.peaks.threshold() < fitted.scorer_.peaks.threshold()
    _, (warning,) = told(lambda: other.recalibrate(fitted.anomaly_score(parts(2, 5))))
    assert "it is set to 0.333" in warning
    assert other.scorer_.peaks.false_alarm_rate == pytest.approx(1 / 3)


def test_maps_of_few_normal_photos_have_pixels_above_the_threshold(fitted):
    limit = fitted.scorer_.peaks.threshold()
    reached = [above(found.error_map[0].numpy(), limit).any() for found in fitted.explain(parts(60, 11), items=0)]
    assert np.mean(reached) <= 0.3


# --------------------------------------------------------------------------------------------------- the model file


def test_a_model_file_gives_the_same_to_the_bit(fitted, tmp_path):
    fitted.save(tmp_path / "m.memae")
    other = load(tmp_path / "m.memae")
    X = np.concatenate([parts(3, 5), scratched(3)])
    assert np.array_equal(other.anomaly_score(X), fitted.anomaly_score(X))
    assert other.get_params() == fitted.get_params()
    assert other.spec_ == fitted.spec_
    assert other.spec_.features == FeatureSpec((1, *SIZE))
    assert other.threshold_ == fitted.threshold_
    assert torch.equal(other.scorer_.peaks.scores, fitted.scorer_.peaks.scores)
    assert other.history_ == fitted.history_
    assert other.examples_.names == fitted.examples_.names
    for one, two in zip(fitted.explain(X[-1:]), other.explain(X[-1:]), strict=True):
        assert torch.equal(one.heat, two.heat)
        assert one.items[0].sample == two.items[0].sample
    other.save(tmp_path / "again.memae")
    assert (tmp_path / "again.memae").read_bytes() == (tmp_path / "m.memae").read_bytes()


def test_what_a_single_photo_gave_is_saved_without_another_warning(tmp_path):
    found, _ = told(lambda: detector().fit(parts(1)))
    found.save(tmp_path / "m.memae")
    other, warnings = told(lambda: load(tmp_path / "m.memae"))
    assert warnings == []
    assert np.array_equal(other.anomaly_score(scratched(2)), found.anomaly_score(scratched(2)))


def test_the_warning_points_to_the_users_line():
    with pytest.warns(MemaeWarning, match="single photo") as found:
        detector().fit(parts(1))
    assert found[0].filename == __file__
