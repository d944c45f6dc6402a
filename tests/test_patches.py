"""A memory of kept patches reads the nearest at each position; its items are spread out; measures of photos."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from memae.memory import unit
from memae.model import Found
from memae.patches import NEIGHBOURS, Leading, PatchMemory, spread_out
from memae.scoring.measures import Measured
from memae.scoring.photos import POWER, PatchDistance, WholeDistance, common, whole, without_common
from memae.spec import PatchSpec, Spec, build


def seeded(number=0):
    return torch.Generator().manual_seed(number)


def memory(n=30, channels=6):
    made = PatchMemory(n, channels).eval()
    made.remember(torch.randn(n, channels, generator=seeded()))
    return made


# ------------------------------------------------------------------------------------------------------- the memory


@given(st.integers(1, 40), st.integers(1, 3), st.integers(1, 5), st.integers(1, 5), st.integers(0, 99))
def test_each_position_reads_its_nearest_item(n, b, h, w, seed):
    made, z = memory(n), torch.randn(b, 6, h, w, generator=seeded(seed))
    found = made(z)
    distance = torch.cdist(z.movedim(1, -1).reshape(-1, 6).double(), made.items.double())
    assert torch.allclose(found.distance.flatten().double(), distance.amin(1), atol=1e-5)
    assert torch.equal(found.read.movedim(1, -1).reshape(-1, 6), made.items[distance.argmin(1)])
    assert torch.equal(found.isolation.flatten(), made.isolation[distance.argmin(1)])
    assert found.distance.shape == found.isolation.shape == (b, 1, h, w)
    assert not found.fallback.any()
    weights = made.weights(z).weights
    assert weights.shape == (b, n, h, w)
    assert torch.equal(weights.argmax(1).flatten(), distance.argmin(1))
    assert (weights.sum(1) == 1).all()


def test_an_item_is_as_isolated_as_its_nearest_others_are_far():
    made = memory(30)
    apart = torch.cdist(made.items, made.items).fill_diagonal_(torch.inf)
    expected = apart.topk(NEIGHBOURS, largest=False).values.mean(1)
    assert torch.allclose(made.isolation, expected, atol=1e-5)
    assert memory(1).isolation.tolist() == [0]
    assert memory(2).isolation.tolist() == pytest.approx([float((memory(2).items[0] - memory(2).items[1]).norm())] * 2)


def test_equal_items_have_no_isolation_and_the_first_is_read():
    made = PatchMemory(4, 3).eval()
    made.remember(torch.ones(4, 3))
    assert made.isolation.tolist() == [0] * 4
    assert made.weights(torch.ones(1, 3, 1, 1)).weights.flatten().tolist() == [1, 0, 0, 0]


def test_statistics_are_only_made_in_training():
    made, z = memory(), torch.randn(2, 6, 3, 3, generator=seeded(1))
    assert [made(z).use.numel(), made(z).entropy.numel()] == [0, 0]
    made.train()
    assert made(z).use.sum() == 2 * 9
    assert (made(z).survivors == 1).all()


def test_its_model_restores_the_first_channels():
    spec = Spec((8, 3, 3), (), memory=PatchSpec(4, 5))
    model = build(spec).eval()
    model.memory.remember(torch.randn(4, 5, generator=seeded()))
    found = model(torch.randn(2, 8, 3, 3, generator=seeded(1)))
    assert found.x_hat.shape == (2, 5, 3, 3)
    assert not model.trained
    assert not any(parameter.requires_grad for parameter in model.parameters())
    x = torch.randn(1, 8, 2, 2)
    assert torch.equal(Leading(5)(x), x[:, :5])


# ------------------------------------------------------------------------------------------------- choosing patches


@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 20))
def test_patches_are_chosen_once_and_all_if_there_are_no_more(n, most, seed):
    chosen = spread_out(torch.randn(n, 4, generator=seeded(seed)), most, seeded(seed))
    assert len(chosen) == min(n, most)
    assert len(set(chosen.tolist())) == len(chosen)


def test_rare_patches_are_kept():
    patches = torch.randn(2000, 60, generator=seeded()) * 0.1
    patches[7] += 5
    patches[1500] -= 5
    for seed in range(5):
        assert {7, 1500} <= set(spread_out(patches, 10, seeded(seed)).tolist())


def test_what_is_chosen_covers_better_than_chance():
    patches = torch.randn(1000, 8, generator=seeded())

    def farthest(chosen):
        return float(torch.cdist(patches, patches[chosen]).amin(1).max())

    assert farthest(spread_out(patches, 50, seeded())) < 0.85 * farthest(torch.randperm(1000, generator=seeded())[:50])


def test_equal_patches_can_be_chosen():
    assert len(spread_out(torch.zeros(50, 3), 5, seeded())) == 5


# --------------------------------------------------------------------------------------------------------- measures


def found_of(distance, isolation):
    nothing = torch.zeros(0)
    return Found(nothing, None, nothing, None, nothing, distance, isolation)


def test_the_distance_of_patches_is_a_power_mean_of_their_smoothed_local_distance():
    distance, isolation = torch.rand(2, 1, 5, 6, generator=seeded()), torch.rand(2, 1, 5, 6, generator=seeded(1))
    measure = PatchDistance(torch.tensor(0.5))
    value, parts = measure(torch.zeros(2, 9, 5, 6), found_of(distance, isolation))
    local = distance / (isolation + 0.5)
    assert parts.shape == (2, 1, 5, 6)
    assert float(parts[1, 0, 2, 3]) == pytest.approx(float(local[1, 0, 1:4, 2:5].mean()), rel=1e-5)
    assert torch.allclose(value, parts.double().flatten(1).pow(POWER).mean(1) ** (1 / POWER))
    assert value.dtype == torch.float64
    assert isinstance(Measured(value, parts), Measured)
    constant = measure(torch.zeros(1, 9, 5, 6), found_of(torch.full((1, 1, 5, 6), 3.0), torch.full((1, 1, 5, 6), 0.5)))
    assert float(constant.value) == pytest.approx(3)


@pytest.mark.parametrize("floor", [torch.tensor(0.0), torch.tensor(-1.0), torch.tensor([1.0]), torch.tensor(torch.nan)])
def test_a_floor_that_is_no_number_above_0_is_refused(floor):
    with pytest.raises(ValueError, match="floor"):
        PatchDistance(floor).check((9, 4, 4), (6, 4, 4), torch.float32)
    with pytest.raises(ValueError, match="floor"):
        PatchDistance(torch.tensor(1.0, dtype=torch.float64)).check((9, 4, 4), (6, 4, 4), torch.float32)
    with pytest.raises(ValueError, match="floor"):
        PatchDistance(torch.tensor(1.0)).check((9,), (6,), torch.float32)


def test_the_common_distance_is_that_which_a_quarter_of_the_positions_do_not_exceed():
    local = torch.stack([torch.arange(1.0, 21), torch.arange(20.0, 0, -1) * 10]).reshape(2, 1, 4, 5)
    assert common(local).flatten().tolist() == [5, 50]
    assert common(local[:, :, :1, :3]).flatten().tolist() == [1, 180]


def test_half_of_an_unusual_common_distance_is_taken_as_squares():
    usual, noisy = torch.full((1, 1, 4, 4), 2.0), torch.full((1, 1, 4, 4), 4.0)
    usual[0, 0, 1, 1] = noisy[0, 0, 1, 1] = 7
    assert torch.equal(without_common(usual, torch.tensor(2.0)), usual)
    left = without_common(torch.cat([usual, noisy]), torch.tensor(2.0))
    assert torch.equal(left[0], usual[0])
    assert left[1, 0, 0, 0] == pytest.approx((16 - (16 - 4) / 2) ** 0.5)
    assert left[1, 0, 1, 1] == pytest.approx((49 - (16 - 4) / 2) ** 0.5)
    below = torch.tensor([0.0, 3.0, 3.0, 3.0]).reshape(1, 1, 2, 2)
    assert torch.isfinite(without_common(below, torch.tensor(0.0))).all()


def test_a_measure_takes_the_common_distance_from_value_and_map():
    distance, apart = torch.rand(2, 1, 6, 6, generator=seeded()) + 5, torch.ones(2, 1, 6, 6)
    plain = PatchDistance(torch.tensor(1.0), 16, smoothed=False)
    less = plain.beyond(torch.tensor(1.0))
    found, target = found_of(distance, apart), torch.zeros(2, 9, 6, 6)
    local = without_common(distance / 2, torch.tensor(1.0))
    assert torch.allclose(less(target, found).value, plain.of(local).value)
    assert torch.equal(less(target, found).parts, plain.of(local).parts)
    assert (less(target, found).value < plain(target, found).value).all()
    assert "common" not in plain.state_dict()
    less.check((9, 6, 6), (6, 6, 6), torch.float32)
    with pytest.raises(ValueError, match="highest common distance"):
        plain.beyond(torch.tensor(-1.0)).check((9, 6, 6), (6, 6, 6), torch.float32)
    with pytest.raises(ValueError, match="highest common distance"):
        plain.beyond(torch.ones(2)).check((9, 6, 6), (6, 6, 6), torch.float32)


def test_the_distance_of_the_whole_is_that_of_mahalanobis():
    target = torch.randn(4, 9, 3, 3, generator=seeded())
    mean, root = torch.randn(5, generator=seeded(1)), torch.randn(5, 5, generator=seeded(2))
    (value, _) = WholeDistance(mean, root)(target, found_of(None, None))
    apart = unit(target[:, -5:].mean((2, 3))) - mean
    expected = torch.einsum("bi,ij,bj->b", apart, root @ root.T, apart).sqrt()
    assert torch.allclose(value, expected.double(), rtol=1e-5)
    assert torch.allclose(whole(target, 5).norm(dim=1), torch.ones(4))


@pytest.mark.parametrize(
    ("mean", "whitening"),
    [((5,), (4, 5)), ((5, 1), (5, 5)), ((0,), (0, 0)), ((10,), (10, 10)), ((), ()), ((5,), (5,))],
)
def test_a_whole_that_does_not_fit_is_refused(mean, whitening):
    with pytest.raises(ValueError, match="whole"):
        WholeDistance(torch.zeros(mean), torch.zeros(whitening)).check((9, 4, 4), (4, 4, 4), torch.float32)


def test_a_whole_of_another_precision_is_refused():
    with pytest.raises(ValueError, match=r"not in torch\.float32"):
        WholeDistance(torch.zeros(5).bool(), torch.zeros(5, 5)).check((9, 4, 4), (4, 4, 4), torch.float32)
