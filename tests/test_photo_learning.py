"""MemAE over the features of photos: encoder, memory and decoder are trained, alone or beside kept patches."""

import numpy as np
import pytest
import torch
from sklearn.base import clone

from memae import ImageMemAE, load
from memae.errors import InputError, MemaeWarning, ModelFileError, OptionError
from memae.estimators import image, networks, photo_learning
from memae.features import FeatureSpec
from memae.memory import Memory, unit
from memae.model import Found
from memae.modelfile.assembly import about, scorer_of
from memae.networks.efficientnet_lite import EfficientNetLite
from memae.options import Epoch
from memae.patches import isolation
from memae.scoring.photos import POWER, KeptPatchDistance, PatchDistance, PatchError, summed_up
from memae.spec import MemorySpec, Spec, build
from reproduction.images.detectors import RandomItems, random_items

SIZE = (64, 64)
FAST = {
    "features": "efficientnet-lite0",
    "size": SIZE,
    "epochs": 3,
    "warmup": 1,
    "widths": [24, 16],
    "batch_size": 8,
    "false_alarm_rate": 0.2,
}


def photos(count, seed, spot=False):
    """Stripes with noise `(count, 64, 64, 3)`, uint8, with a dark spot if wanted."""
    random = np.random.default_rng(seed)
    x = 120 + 60 * np.sin(np.arange(64) / 3 + random.uniform(0, 6, (count, 1)))[:, None, :, None]
    x = x + random.normal(0, 6, (count, 64, 64, 3))
    if spot:
        x[:, 20:36, 24:40] = 5
    return x.clip(0, 255).astype(np.uint8)


@pytest.fixture(autouse=True)
def network(monkeypatch):
    """A pretrained network with random weights in place of that of the package."""

    def random_lite(variant, stages):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            made = EfficientNetLite(variant, stages).eval().requires_grad_(False)
            for each in made.parameters():
                torch.nn.init.normal_(each, std=each[0].numel() ** -0.5 if each.ndim > 1 else 0.1)
        return made

    monkeypatch.setattr(networks, "read_lite", random_lite)


GOOD = photos(24, 0)


def detector(**more):
    return ImageMemAE(**(FAST | {"n_items": 12, "kept_samples": 0} | more))


@pytest.mark.parametrize(
    ("more", "measures"),
    [
        ({}, ("error", "whole")),
        ({"kept_samples": 40}, ("distance", "error", "whole")),
        ({"n_items": None}, ("error", "whole")),
        ({"n_items": 0}, ("error", "whole")),
        ({"n_items": 0, "kept_samples": 40}, ("distance", "error", "whole")),
        ({"strides": [[1, 1], [2, 2]]}, ("error", "whole")),
    ],
)
def test_it_is_fitted_saved_and_explained(tmp_path, more, measures):
    fitted = detector(**more)
    epochs = [each for each in fitted.fit_steps(GOOD) if isinstance(each, Epoch)]
    assert len(epochs) == len(fitted.history_) == 3
    assert fitted.trains
    assert fitted.scorer_.measured == measures
    new = np.concatenate([photos(3, 1), photos(3, 2, spot=True)])
    scores = fitted.anomaly_score(new)
    assert scores[3:].min() > scores[:3].max()
    items, memory = fitted.n_items, fitted.scorer_.model.memory
    assert (memory is None) == (items == 0)
    assert memory is None or (isinstance(memory, Memory) and len(memory.items) == (items or image.LEARNED_ITEMS))
    assert fitted.scorer_.peaks is not None
    assert len(fitted.calibration_.scores) == len(fitted.scorer_.peaks.scores) == 4
    assert fitted.learned_ == 20

    fitted.save(tmp_path / "m.memae")
    again = load(tmp_path / "m.memae")
    np.testing.assert_array_equal(again.anomaly_score(new), scores)
    assert again.trains
    assert clone(again).get_params() == fitted.get_params()

    evidence = next(again.explain(new[3:4]))
    assert evidence.heat.shape == SIZE
    assert evidence.reconstruction is None
    assert fitted.kept_samples == 0 or evidence.heat[20:36, 24:40].mean() > evidence.heat.mean()
    assert (len(evidence.items) > 0) == (memory is not None)
    for item in evidence.items:
        assert item.sample is None  # it was learned, and is no patch itself
        assert item.neighbours[0].sample.startswith("image ")
        assert item.neighbours[0].thumbnail is not None


def test_a_training_is_the_same_again_also_after_a_stop(tmp_path):
    new = photos(2, 3)
    whole = detector().fit(GOOD)
    stopped = detector().fit_steps(GOOD, checkpoint=tmp_path / "c", every=0)
    for event in stopped:
        if isinstance(event, Epoch):
            break
    again = detector()
    for _ in again.fit_steps(GOOD, checkpoint=tmp_path / "c", resume=True):
        pass
    np.testing.assert_array_equal(again.anomaly_score(new), whole.anomaly_score(new))
    assert len(again.history_) == 3


def test_the_error_of_patches_is_the_power_mean_of_eq_8_at_each_position():
    random = torch.Generator().manual_seed(0)
    target, x_hat = torch.rand(2, 7, 4, 5, generator=random), torch.rand(2, 4, 4, 5, generator=random)
    found = Found(x_hat, None, x_hat, None, torch.zeros(2, dtype=torch.bool))
    measured = PatchError()(target, found)
    error = np.pad((target[:, :4] - x_hat).square().sum(1).numpy(), ((0, 0), (1, 1), (1, 1)), mode="edge")
    smooth = sum(error[:, y : y + 4, x : x + 5] for y in range(3) for x in range(3)) / 9
    np.testing.assert_allclose(measured.parts[:, 0], smooth, rtol=1e-5)
    np.testing.assert_allclose(measured.value, (smooth.astype(float) ** POWER).mean((1, 2)) ** (1 / POWER), rtol=1e-5)


def test_kept_patches_measure_the_same_beside_a_memory_as_in_one():
    random = torch.Generator().manual_seed(0)
    target, items = torch.rand(2, 7, 4, 5, generator=random), torch.rand(30, 4, generator=random)
    floor, apart = torch.tensor(0.1), isolation(items)
    queries = target[:, :4].movedim(1, -1).reshape(-1, 4)
    distance, which = torch.cdist(queries, items).min(1)
    near = [each.reshape(2, 1, 4, 5) for each in (distance, apart[which])]
    found = Found(target[:, :4], None, target, None, torch.zeros(2, dtype=torch.bool), *near)
    inside, beside = PatchDistance(floor)(target, found), KeptPatchDistance(items, apart, floor)(target, found)
    np.testing.assert_allclose(beside.value, inside.value, rtol=1e-5)
    np.testing.assert_allclose(beside.parts, inside.parts, rtol=1e-4)
    others = torch.cdist(items, items).sort(1).values[:, 1:6].mean(1)
    np.testing.assert_allclose(apart, others, rtol=1e-4)
    assert isolation(items[:1]).tolist() == [0.0]
    np.testing.assert_allclose(summed_up(torch.full((1, 1, 3, 3), 2.0)).value, [2.0])


def test_the_network_sees_and_restores_the_features_of_patches_alone():
    features = FeatureSpec((3, *SIZE))
    spec = Spec(features.shape, (8,), ((1, 1),), MemorySpec(5, per_position=True), features=features)
    model = build(spec).eval()
    x = torch.rand(2, *features.shape)
    found = model(x)
    assert found.x_hat.shape == (2, features.patches, 4, 4)
    changed = torch.cat([x[:, : features.patches], x[:, features.patches :] + 1], 1)
    torch.testing.assert_close(model(changed).x_hat, found.x_hat)
    torch.testing.assert_close(model(x[:, : features.patches]).x_hat, found.x_hat)  # so it is trained


def test_maps_are_held_once_and_random_tiles_taken_of_too_many(monkeypatch):
    read = []
    joined = photo_learning.joined_maps
    monkeypatch.setattr(
        photo_learning,
        "joined_maps",
        lambda *given: read.append(len(given[-1])) or joined(*given),
    )
    detector().fit(GOOD)
    assert read == [20, 4]
    monkeypatch.setattr(photo_learning, "HELD_BYTES", 10 * 4 * 272 * 4 * 4)
    with pytest.warns(MemaeWarning, match="^10 random tiles of 20 are learned"):
        detector().fit(GOOD)
    assert read[2:] == [10, 1]


def test_items_are_compared_with_the_training_positions_most_like_them():
    fitted = detector().fit(GOOD)
    model = fitted.scorer_.model
    x = fitted.scorer_.normalise(torch.from_numpy(GOOD).movedim(-1, 1))
    codes = unit(model.encode(x), 1).movedim(1, -1).reshape(-1, 16)
    best = 1 - (unit(model.memory.items) @ codes.T).amax(1)
    assert (fitted.examples_.distance[:, 0] >= best.detach() - 1e-5).all()  # held-out photos are not among them
    assert fitted.examples_.distance.max() < 2


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"epochs": 7, "alpha": 0.1, "n_items": None, "kept_samples": None}, "alpha, epochs have no effect: with pre"),
        ({"rotations": False}, "rotations has no effect: only a network from pixels"),
    ],
)
def test_settings_without_effect_are_told(more, said):
    given = {name: FAST[name] for name in ("features", "size", "false_alarm_rate")}
    with pytest.warns(MemaeWarning, match="no effect") as caught:
        ImageMemAE(**(given | {"n_items": 5, "kept_samples": 0, "epochs": 2} | more)).fit(GOOD)
    assert said in str(caught[0].message)
    assert caught[0].filename == __file__


def test_what_cannot_be_is_refused():
    with pytest.raises(OptionError, match='widths "paper" is a network for pixels'):
        detector(widths="paper").fit(GOOD)
    with pytest.raises(InputError, match="1 sample given"):
        detector().fit(GOOD[:1])
    with pytest.raises(OptionError, match="n_items must be 0 or more"):
        detector(n_items=-1).fit(GOOD)


def test_whether_a_network_is_trained_is_known_from_the_parameters():
    assert detector().trains
    assert ImageMemAE(features="none").trains
    assert not ImageMemAE(features="efficientnet-lite0").trains
    assert not ImageMemAE(features="efficientnet-lite0", size=SIZE, false_alarm_rate=0.2).fit(GOOD[:6]).trains


def test_a_file_whose_parts_do_not_fit_is_refused():
    scorer = detector(kept_samples=10).fit(GOOD).scorer_
    features = FeatureSpec((3, *SIZE))
    memory = MemorySpec(12, temperature=0.03, per_position=True)
    spec = Spec(features.shape, (24, 16), ((1, 1),) * 2, memory, features=features)
    state, header = scorer.state_dict(), about(scorer)
    assert scorer_of(spec, header, state).measured == scorer.measured
    whole = Spec(features.shape, (24, 16), ((1, 1),) * 2, MemorySpec(12), features=features)
    with pytest.raises(ModelFileError, match="memory or task"):
        scorer_of(whole, header, state)
    for name, value in {
        "measures.0.items": torch.zeros(10, features.shape[0] + 1),
        "measures.0.isolation": state["measures.0.isolation"][1:],
        "measures.0.floor": torch.tensor(0.0),
    }.items():
        with pytest.raises((ValueError, RuntimeError, ModelFileError)):
            scorer_of(spec, header, state | {name: value})


def test_random_patches_are_kept_for_the_comparison():
    assert len(random_items(torch.zeros(9, 2), 4, torch.Generator().manual_seed(0)).unique()) == 4
    made = {"features": "efficientnet-lite0", "size": SIZE, "false_alarm_rate": 0.2, "kept_samples": 7}
    drawn, spread = RandomItems(**made).fit(GOOD), ImageMemAE(**made).fit(GOOD)
    items = [each.scorer_.model.memory.items for each in (drawn, spread)]
    assert items[0].shape == items[1].shape
    assert not torch.equal(*items)
    apart = [torch.pdist(each).min() for each in items]
    assert apart[0] < apart[1]
