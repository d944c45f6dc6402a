"""Every equation of the paper against a transcription of its text in NumPy, and the networks of its section 4."""

import math

import numpy as np
import pytest
import torch

from memae.frames import normality
from memae.losses import objective, reconstruction_error
from memae.memory import Memory, address, entropy, shrink
from memae.networks import convolutional, tabular
from memae.spec import MemorySpec, Spec, build, code_shape

SHAPES = [(6, 4), (3, 4, 2, 5), (2, 4, 3, 2, 2)]
N = 7
LAMBDA = 1 / N


def numpy_weights(z, items, similarity):
    """Eq. 4 and 5 for one query."""
    if similarity == "cosine":
        d = np.array([z @ m / (np.linalg.norm(z) * np.linalg.norm(m)) for m in items])
    else:
        d = np.array([z @ m for m in items])
    return np.exp(d) / np.exp(d).sum()


def numpy_shrink(w, threshold):
    """Eq. 6 for one query, and the ŵ / ‖ŵ‖₁ below Eq. 7."""
    kept = np.where(w > threshold, w, 0.0)
    return kept / np.abs(kept).sum()


def numpy_read(w, items):
    """Eq. 3 for one query."""
    return sum(w_i * m_i for w_i, m_i in zip(w, items, strict=True))


def numpy_entropy(w):
    """Eq. 9 for one query, with 0 log 0 = 0."""
    return sum(-w_i * math.log(w_i) for w_i in w if w_i > 0)


def rows_of(x):
    """(b, c, *space) -> (queries, c)."""
    return np.moveaxis(x, 1, -1).reshape(-1, x.shape[1])


def queries(shape, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=shape), rng.normal(size=(N, shape[1]))


def agree(ours, wanted):
    np.testing.assert_allclose(ours, wanted, rtol=0, atol=1e-10)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_equations_3_to_6_and_9_hold(shape, similarity):
    z, items = queries(shape)
    memory = Memory(N, shape[1], similarity=similarity).double()
    with torch.no_grad():
        memory.items.copy_(torch.from_numpy(items))
    soft = [numpy_weights(row, items, similarity) for row in rows_of(z)]
    sparse = [numpy_shrink(w, LAMBDA) for w in soft]

    w = address(torch.from_numpy(z), memory.items, similarity=similarity).detach()
    recall = memory(torch.from_numpy(z))

    assert w.shape == (shape[0], N, *shape[2:])
    agree(rows_of(w.numpy()), soft)
    agree(rows_of(shrink(w, LAMBDA).weights.numpy()), sparse)
    agree(rows_of(memory.weights(torch.from_numpy(z)).weights.detach().numpy()), sparse)
    agree(rows_of(recall.read.detach().numpy()), [numpy_read(each, items) for each in sparse])
    agree(recall.entropy.detach().numpy().reshape(-1), [numpy_entropy(each) for each in sparse])
    agree(rows_of(entropy(w).unsqueeze(1).numpy())[:, 0], [numpy_entropy(each) for each in soft])


@pytest.mark.parametrize("shape", SHAPES)
def test_equation_7_becomes_our_shrinkage_as_its_epsilon_vanishes(shape):
    z, items = queries(shape, 1)
    w = address(torch.from_numpy(z), torch.from_numpy(items))
    ours = shrink(w, LAMBDA).weights
    gaps = []
    for epsilon in (1e-4, 1e-8, 1e-12):
        relu = (w - LAMBDA).clamp_min(0) * w / ((w - LAMBDA).abs() + epsilon)
        gaps.append(float((relu / relu.sum(1, keepdim=True) - ours).abs().max()))
    assert gaps[0] > gaps[1] > gaps[2]
    assert gaps[2] < 1e-8


@pytest.mark.parametrize("shape", SHAPES)
def test_equations_8_and_10_hold(shape):
    rng = np.random.default_rng(2)
    x, x_hat, e = rng.normal(size=shape), rng.normal(size=shape), rng.random(shape[0])
    wanted = [float(((a - b) ** 2).sum()) for a, b in zip(x, x_hat, strict=True)]
    error = reconstruction_error(torch.from_numpy(x), torch.from_numpy(x_hat))
    agree(error, wanted)
    each = reconstruction_error(torch.from_numpy(x), torch.from_numpy(x_hat), "mean")
    agree(each, np.array(wanted) / math.prod(shape[1:]))
    absolute = reconstruction_error(torch.from_numpy(x), torch.from_numpy(x_hat), "absolute")
    agree(absolute, [np.abs(a - b).mean() for a, b in zip(x, x_hat, strict=True)])
    total = np.mean([r + 0.0002 * h for r, h in zip(wanted, e, strict=True)])
    agree(objective(error, torch.from_numpy(e), 0.0002), total)


def test_equation_10_takes_the_mean_over_the_positions_of_a_sample():
    error, e = torch.tensor([1.0, 2.0]), torch.tensor([[1.0, 3.0], [5.0, 7.0]])
    assert float(objective(error, e, 0.5)) == pytest.approx(((1 + 0.5 * 2) + (2 + 0.5 * 6)) / 2)


def test_equation_11_holds():
    e = np.random.default_rng(3).random(50)
    agree(normality(e), [1 - (u - min(e)) / (max(e) - min(e)) for u in e])
    assert normality(np.full(4, 2.5)).tolist() == [1.0] * 4


@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 2, 2)])
@pytest.mark.parametrize(("similarity", "temperature", "shrinkage"), [("cosine", 0.3, 1.0), ("dot", 1.0, 1.5)])
def test_gradients_of_the_objective_agree_with_finite_differences(shape, similarity, temperature, shrinkage):
    torch.manual_seed(4)
    n, threshold = 5, shrinkage / 5
    z = torch.randn(*shape, dtype=torch.float64, requires_grad=True)
    items = torch.randn(n, shape[1], dtype=torch.float64, requires_grad=True)
    log_temperature = torch.tensor(math.log(temperature), dtype=torch.float64, requires_grad=True)
    x = torch.randn(*shape, dtype=torch.float64)

    def loss(z, items, log_temperature):
        w = address(z, items, similarity=similarity, temperature=log_temperature.exp())
        sparse = shrink(w, threshold).weights
        read = (sparse.movedim(1, -1) @ items).movedim(-1, 1)
        return objective(reconstruction_error(x, read), entropy(sparse), 0.1)

    w = address(z, items, similarity=similarity, temperature=temperature).detach()
    assert float((w - threshold).abs().min()) > 1e-3  # away from the jump, where finite differences mean something
    kept = (w > threshold).sum(1)
    assert kept.min() >= 1
    assert kept.max() < n
    assert torch.autograd.gradcheck(loss, (z, items, log_temperature))


def test_the_memory_and_its_parts_have_the_same_gradients():
    torch.manual_seed(5)
    memory = Memory(6, 3, temperature=0.3, learn_temperature=True).double()
    z, x = torch.randn(4, 3, dtype=torch.float64), torch.randn(4, 3, dtype=torch.float64)
    recall = memory(z)
    objective(reconstruction_error(x, recall.read), recall.entropy, 0.1).backward()

    items = memory.items.detach().clone().requires_grad_()
    log_temperature = memory.log_temperature.detach().clone().requires_grad_()
    w = shrink(address(z, items, temperature=log_temperature.exp()), 1 / 6).weights
    objective(reconstruction_error(x, w @ items), entropy(w), 0.1).backward()
    agree(memory.items.grad, items.grad)
    agree(memory.log_temperature.grad, log_temperature.grad)


@pytest.mark.parametrize(
    ("shape", "layout", "n", "code"),
    [
        ((1, 28, 28), convolutional.MNIST, 100, (8, 3, 3)),
        ((3, 32, 32), convolutional.CIFAR10, 500, (256, 2, 2)),
        ((1, 16, 256, 256), convolutional.VIDEO, 2000, (256, 1, 16, 16)),
        ((1, 16, 256, 256), convolutional.VIDEO_AUTHORS, 2000, (256, 2, 16, 16)),
        ((120,), (tabular.KDDCUP, ()), 50, (3,)),
    ],
)
def test_the_presets_give_the_codes_of_the_paper(shape, layout, n, code):
    spec = Spec(shape, *layout, memory=MemorySpec(n, per_position=len(shape) == 4))
    assert code_shape(spec) == code
    with torch.device("meta"):  # shapes alone; no numbers are computed
        model = build(spec).eval()
        x = torch.zeros(2, *shape)
        assert model.encoder(x).shape == (2, *code)
        assert model(x).x_hat.shape == x.shape
    assert model.memory.items.shape == (n, 256 if len(shape) == 4 else math.prod(code))


def layers(network, kinds):
    return [module for module in network if isinstance(module, kinds)]


CONV = (torch.nn.Conv2d, torch.nn.Conv3d, torch.nn.ConvTranspose2d, torch.nn.ConvTranspose3d)


@pytest.mark.parametrize(
    ("channels", "space", "layout", "encoder", "decoder"),
    [
        (1, (28, 28), convolutional.MNIST, [(2, 32), (2, 16), (3, 8)], [(3, 16), (2, 32), (2, 1)]),
        (
            3,
            (32, 32),
            convolutional.CIFAR10,
            [(2, 64), (2, 128), (2, 128), (2, 256)],
            [(2, 128), (2, 128), (2, 64), (2, 3)],
        ),
        (
            1,
            (16, 64, 64),
            convolutional.VIDEO,
            [(2, 96), (2, 128), (2, 256), (2, 256)],
            [(2, 256), (2, 128), (2, 96), (2, 1)],
        ),
    ],
)
def test_the_convolutional_presets_have_the_layers_of_the_paper(channels, space, layout, encoder, decoder):
    for make, wanted in ((convolutional.encoder, encoder), (convolutional.decoder, decoder)):
        with torch.device("meta"):
            network = make(channels, space, layout)
        found = layers(network, CONV)
        assert [(each.stride, each.out_channels) for each in found] == [((s,) * len(space), c) for s, c in wanted]
        assert all(each.kernel_size == (3,) * len(space) for each in found)
        norms = len(layers(network, (torch.nn.BatchNorm2d, torch.nn.BatchNorm3d)))
        activations = len(layers(network, torch.nn.LeakyReLU))
        last = 1 if make is convolutional.decoder else 0  # no BatchNorm and LeakyReLU after the very last
        assert norms == activations == len(found) - last


def test_the_table_preset_has_the_layers_of_the_paper():
    encoder, decoder = tabular.encoder(120, tabular.KDDCUP), tabular.decoder(120, tabular.KDDCUP)
    assert [layer.out_features for layer in layers(encoder, torch.nn.Linear)] == [60, 30, 10, 3]
    assert [layer.out_features for layer in layers(decoder, torch.nn.Linear)] == [10, 30, 60, 120]
    assert len(layers(encoder, torch.nn.Tanh)) == 4
    assert len(layers(decoder, torch.nn.Tanh)) == 3
    assert isinstance(decoder[-1], torch.nn.Linear)
