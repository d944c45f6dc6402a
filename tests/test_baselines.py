"""The compared methods, each against a known answer."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from sklearn.svm import OneClassSVM as OneClassSVMachine
from torch import Tensor

pytest.importorskip("reproduction.baselines.kde")

from memae.metrics import auroc
from memae.networks.convolutional import Layout
from reproduction.baselines.dagmm import DeepAutoencodingGaussianMixture, mixture
from reproduction.baselines.dcn import DeepClusteringNetwork
from reproduction.baselines.descent import descend
from reproduction.baselines.dsebm import DeepStructuredEnergy
from reproduction.baselines.kde import BANDWIDTHS, KernelDensity
from reproduction.baselines.neighbours import NearestNeighbour
from reproduction.baselines.ocsvm import NU, OneClassSVM
from reproduction.baselines.pca import PrincipalComponents
from reproduction.baselines.pixelcnn import MIXTURE, PixelCNN, mixture_log_likelihood
from reproduction.baselines.vae import VariationalAutoencoder, divergence

SMALL = Layout((6, 4), ((2, 2), (2, 2)))


def blobs(n: int, seed: int, place: int = 3, size: int = 10) -> Tensor:
    """Grey images with one soft spot near a place: `(n, 1, size, size)` in [0, 1], in levels of 1/255."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size]
    centre = random.normal(place, 0.6, (2, n, 1, 1))
    spots = np.exp(-((rows - centre[0]) ** 2 + (columns - centre[1]) ** 2) / 3)
    return torch.from_numpy(np.round(spots[:, None] * 255) / 255).float()


NORMAL, HELD_OUT, OTHER = blobs(160, 0), blobs(40, 1), blobs(40, 2, place=6)
TEST = torch.cat([blobs(40, 3), OTHER])
LABELS = np.repeat([0, 1], 40)


@pytest.mark.parametrize(
    ("detector", "least"),
    [
        (OneClassSVM(), 0.95),
        (KernelDensity(), 0.95),
        (PrincipalComponents(4), 0.95),
        (NearestNeighbour(), 0.95),
        (VariationalAutoencoder(SMALL, epochs=30), 0.95),
        (DeepStructuredEnergy(SMALL, epochs=30), 0.95),
        (PixelCNN(epochs=20, width=6, layers=2), 0.75),  # it sees shapes, and places by the padding alone
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_method_tells_spots_elsewhere_and_any_batch_scores_alike(detector, least):
    scores = detector.fit(NORMAL, HELD_OUT).anomaly_score(TEST)
    assert scores.shape == (80,)
    assert scores.dtype == np.float64
    assert auroc(LABELS, scores) > least
    np.testing.assert_allclose(detector.anomaly_score(TEST[30:33]), scores[30:33], rtol=1e-4, atol=1e-6)


def test_the_kernel_density_is_the_mean_of_gaussians_of_the_likeliest_bandwidth():
    detector = KernelDensity().fit(NORMAL, HELD_OUT)

    def density(images: Tensor, width: float) -> np.ndarray:
        rows, others = NORMAL.flatten(1).double().numpy(), images.flatten(1).double().numpy()
        squares = ((others[:, None] - rows) ** 2).sum(2)
        kernels = -squares / (2 * width**2) - rows.shape[1] / 2 * math.log(2 * math.pi * width**2)
        return np.logaddexp.reduce(kernels, axis=1) - math.log(len(rows))

    best = max(BANDWIDTHS, key=lambda width: density(HELD_OUT, width).sum())
    np.testing.assert_allclose(-detector.anomaly_score(TEST), density(TEST, best), rtol=1e-9)


def test_the_svm_takes_the_narrowest_kernel_that_keeps_its_promise_on_held_out_images():
    detector = OneClassSVM().fit(NORMAL, HELD_OUT)
    allowed = NU + math.sqrt(NU * (1 - NU) / len(HELD_OUT))
    assert np.mean(detector.machine.predict(detector.kernel(HELD_OUT)) < 0) <= allowed
    rows, others = NORMAL.flatten(1).numpy(), HELD_OUT.flatten(1).numpy()
    same = OneClassSVMachine(kernel="rbf", nu=NU, gamma=detector.gamma).fit(rows)
    np.testing.assert_allclose(detector.anomaly_score(HELD_OUT), -same.score_samples(others), rtol=1e-4)
    narrower = OneClassSVMachine(kernel="rbf", nu=NU, gamma=2 * detector.gamma).fit(rows)
    assert np.mean(narrower.predict(others) < 0) > allowed


def test_principal_components_score_the_distance_to_their_plane():
    random = torch.Generator().manual_seed(0)
    plane = torch.linalg.qr(torch.randn(16, 2, generator=random, dtype=torch.float64)).Q
    normal = (torch.randn(50, 2, generator=random, dtype=torch.float64) @ plane.T).reshape(50, 1, 4, 4)
    away = torch.randn(5, 16, generator=random, dtype=torch.float64)
    away -= away @ plane @ plane.T
    found = PrincipalComponents(2).fit(normal, normal).anomaly_score(normal[:5] + away.reshape(5, 1, 4, 4))
    centred = normal.flatten(1).mean(0)
    distance = away - (centred - centred @ plane @ plane.T)
    np.testing.assert_allclose(found, distance.square().sum(1).numpy(), rtol=1e-6)


def test_the_nearest_neighbour_is_the_nearest():
    found = NearestNeighbour().fit(NORMAL, HELD_OUT).anomaly_score(TEST)
    squares = (TEST.double()[:, None] - NORMAL.double()).square().flatten(2).sum(2)
    np.testing.assert_allclose(found, squares.sqrt().min(1).values.numpy(), rtol=1e-6, atol=1e-7)


# -------------------------------------------------------------------------------------------------------- deep methods


def test_the_divergence_is_that_of_normal_distributions():
    random = torch.Generator().manual_seed(0)
    mean, log_variance = torch.randn(2, 5, 3, generator=random)
    normal = torch.distributions.Normal
    expected = torch.distributions.kl_divergence(normal(mean, (log_variance / 2).exp()), normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(divergence(mean, log_variance), expected)


def test_the_energy_models_reconstruction_is_a_step_down_its_energy():
    model = DeepStructuredEnergy(SMALL, epochs=1).fit(NORMAL[:8], HELD_OUT[:4]).double()
    x = TEST[:2].double()
    step, found = 1e-5, torch.empty_like(x)
    for place in range(x[0].numel()):
        shift = torch.zeros(1, x[0].numel(), dtype=torch.float64)
        shift[0, place] = step
        shift = shift.reshape(1, *x.shape[1:])
        with torch.no_grad():
            found.flatten(1)[:, place] = (model.energy(x + shift) - model.energy(x - shift)) / (2 * step)
    torch.testing.assert_close(model.reconstruct(x).detach(), x - found, rtol=1e-5, atol=1e-7)
    energies = model.scores(x, "energy")
    np.testing.assert_allclose(energies, model.energy(x).detach().numpy())
    np.testing.assert_allclose(model.anomaly_score(x), found.square().flatten(1).sum(1).numpy(), rtol=1e-4)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_pixels_distribution_depends_on_those_before_it_alone(channels):
    model = PixelCNN(epochs=1, width=4, layers=3)
    model._build(channels)
    x = torch.rand(1, channels, 6, 6, generator=torch.Generator().manual_seed(0)) * 2 - 1
    before = model.parameters_of(x).flatten(2)
    for place in (0, 14, 35):
        other = x.clone()
        other.flatten(2)[:, :, place] *= -0.5
        changed = (model.parameters_of(other).flatten(2) - before).abs().amax((0, 1)) > 1e-7
        assert not changed[: place + 1].any()
        if place == 14:
            assert changed[place + 1]
            assert changed[place + 6]  # right below


@pytest.mark.parametrize("channels", [1, 3])
def test_the_likelihoods_of_all_levels_add_up_to_one(channels):
    random = torch.Generator().manual_seed(1)
    numbers = MIXTURE * (1 + 2 * channels + channels * (channels - 1) // 2)
    parameters = torch.randn(1, numbers, 1, 1, generator=random, dtype=torch.float64).expand(256, -1, -1, -1)
    levels = torch.arange(256, dtype=torch.float64) / 127.5 - 1
    if channels == 1:
        x = levels.reshape(256, 1, 1, 1)
        assert float(mixture_log_likelihood(x, parameters).exp().sum()) == pytest.approx(1, abs=1e-9)
        return
    # of three colours: sum over the last one, given the first two, is their joint probability, the same for both orders
    first = torch.tensor([[-0.2, 0.4]], dtype=torch.float64).expand(256, 2)
    x = torch.cat([first, levels[:, None]], 1).reshape(256, 3, 1, 1)
    given = mixture_log_likelihood(x, parameters).flatten().logsumexp(0)
    two = torch.split(parameters.reshape(256, MIXTURE, -1, 1, 1), [1, 3, 3, 3], 2)
    of_two = torch.cat([two[0], two[1][:, :, :2], two[2][:, :, :2], two[3][:, :, :1]], 2).reshape(256, -1, 1, 1)
    expected = mixture_log_likelihood(x[:1, :2], of_two[:1]).flatten()[0]
    assert float(given) == pytest.approx(float(expected), abs=1e-9)


def test_descending_keeps_the_best_epoch_and_stops_at_nonsense():
    module = torch.nn.Linear(1, 1, bias=False)
    seen: list[float] = []

    def loss(x: Tensor, _: torch.Generator) -> Tensor:
        if not module.training:
            seen.append(module.weight.item())
            return (module.weight - 0.5).square().expand(len(x), 1).sum(1) + 1
        return -module(x).square().sum(1)  # moves away, whatever is held out

    torch.nn.init.constant_(module.weight, 0.4)
    history = descend(module, loss, torch.ones(64, 1), torch.ones(4, 1), epochs=6, rate=0.1, seed=0)
    assert len(history) == 6
    assert module.weight.item() == seen[history.index(min(history))]
    assert history.index(min(history)) != 5
    with pytest.raises(ArithmeticError, match="held-out loss is nan"):
        descend(
            module,
            lambda x, _: module(x).sum(1) * math.nan,
            torch.ones(4, 1),
            torch.ones(4, 1),
            epochs=1,
            rate=1,
            seed=0,
        )


# --------------------------------------------------------------------------------------------------------------- tables


def two_lines(n: int, seed: int) -> Tensor:
    """Rows of two clusters in five columns, of which three follow from the others: `(n, 5)`."""
    random = torch.Generator().manual_seed(seed)
    cluster = torch.randint(2, (n, 1), generator=random) * 2.0 - 1
    free = 0.3 * torch.randn(n, 2, generator=random) + cluster
    return torch.cat([free, -free, free.sum(1, keepdim=True) / 2], 1)


@pytest.mark.parametrize(
    "detector",
    [
        DeepAutoencodingGaussianMixture((4, 2), epochs=60, components=2, rate=5e-3, batch=64),
        DeepClusteringNetwork((8, 4), epochs=40, clusters=2, rate=5e-3, batch=64),
        DeepStructuredEnergy((16, 8), epochs=40, rate=5e-3, batch=64),
    ],
    ids=lambda value: type(value).__name__,
)
def test_methods_for_tables_tell_rows_off_the_clusters(detector):
    others = two_lines(60, 2)
    others[:, 2:] += torch.randn(60, 3, generator=torch.Generator().manual_seed(4)) * 3
    test, labels = torch.cat([two_lines(60, 3), others]), np.repeat([0, 1], 60)
    scores = detector.fit(two_lines(400, 0), two_lines(100, 1)).anomaly_score(test)
    assert scores.shape == (120,)
    assert scores.dtype == np.float64
    assert auroc(labels, scores) > 0.9
    np.testing.assert_allclose(detector.anomaly_score(test[50:53]), scores[50:53], rtol=1e-3, atol=1e-5)
    again = type(detector)(
        getattr(detector, "widths", getattr(detector, "layout", ())),
        epochs=detector.epochs,
        rate=detector.rate,
        batch=64,
        **{name: getattr(detector, name) for name in ("components", "clusters") if hasattr(detector, name)},
    ).fit(two_lines(400, 0), two_lines(100, 1))
    np.testing.assert_array_equal(again.anomaly_score(test), scores)


def test_the_mixture_of_sure_members_has_their_weights_means_covariances_and_density():
    random = torch.Generator().manual_seed(0)
    z = torch.randn(300, 2, generator=random, dtype=torch.float64)
    z[:100] += 5
    membership = torch.nn.functional.one_hot((torch.arange(300) >= 100).long()).double()
    found = mixture(z, membership)
    np.testing.assert_allclose(found.weights, [1 / 3, 2 / 3])
    parts = z[:100].numpy(), z[100:].numpy()
    np.testing.assert_allclose(found.means, [part.mean(0) for part in parts])
    np.testing.assert_allclose(found.covariances, [np.cov(part.T, bias=True) for part in parts], atol=2e-6)
    density = sum(
        weight * multivariate_normal(mean, covariance).pdf(z.numpy())
        for weight, mean, covariance in zip(*(each.numpy() for each in found), strict=True)
    )
    np.testing.assert_allclose(found.energy(z), -np.log(density))


def test_centres_become_the_mean_of_all_codes_that_were_theirs():
    network = DeepClusteringNetwork((2,), epochs=1, clusters=2)
    network.build(3)
    network.centres, network.counts = torch.tensor([[0.0, 0.0], [9.0, 9.0]]), torch.tensor([1.0, 3.0])
    network.move(torch.tensor([[2.0, 4.0], [4.0, 2.0], [5.0, 1.0]]), torch.tensor([0, 0, 1]))
    np.testing.assert_allclose(network.centres, [[2.0, 2.0], [8.0, 7.0]])
    assert network.counts.tolist() == [3.0, 4.0]


def test_the_distance_to_the_centres_counts_half_its_square_once_there_are_any():
    network = DeepClusteringNetwork((2,), epochs=1, clusters=2, pull=3.0).eval()
    network.eval().build(3)
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    error = network.loss(x, torch.Generator()).detach()
    code = network.encoder(x).detach()
    np.testing.assert_allclose(error, (x - network.decoder(code).detach()).square().sum(1), rtol=1e-6)
    network.centres, network.counts = torch.tensor([[0.0, 0.0], [50.0, 50.0]]), torch.ones(2)
    np.testing.assert_allclose(
        network.loss(x, torch.Generator()).detach(), error + 1.5 * code.square().sum(1), rtol=1e-5
    )
