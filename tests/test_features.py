"""Features of photos: what is done to a network's maps, bit by bit."""

import math

import pytest
import torch
from tests.photographs import SIZE, network, tiny_network
from torch import nn
from torch.nn.functional import interpolate

from memae.features import LEAST_SPREAD, STAGES, Features, FeatureSpec
from memae.networks.efficientnet_lite import VARIANTS


class Maps(nn.Module):
    """Three maps at strides of 4, 8 and 8: pixels, their squares and a constant."""

    def forward(self, photos):
        small, smaller = photos[:, :, ::4, ::4] / 255, photos[:, :2, ::8, ::8] / 255
        return small, smaller**2, torch.full_like(smaller[:, :1], 7.0)


@pytest.fixture
def features():
    return Features(Maps(), torch.zeros(5), torch.ones(5)).eval()


PHOTOS = torch.rand(3, 3, 32, 48, generator=torch.Generator().manual_seed(0))


def test_maps_are_resized_joined_and_smoothed_and_the_last_describes_the_whole(features):
    joined = features.joined(PHOTOS)
    assert joined.shape == (3, 6, 8, 12)
    small = PHOTOS[:, :, ::4, ::4]
    sides = torch.tensor([1.0, 2.0, 1.0]) / 4
    weights = sides[:, None] * sides
    assert torch.allclose(joined[:, :3, 3, 5], (small[:, :, 2:5, 4:7] * weights).sum((2, 3)), atol=1e-6)
    corner = small[:, :, [0, 0, 1]][:, :, :, [0, 0, 1]]  # what lies beyond the edge is as the edge, not dark
    assert torch.allclose(joined[:, :3, 0, 0], (corner * weights).sum((2, 3)), atol=1e-6)
    coarse = interpolate(
        PHOTOS[:, :2, ::8, ::8] ** 2, (8, 12), mode="bilinear"
    )  # smoothed over as much as the fine one
    assert torch.allclose(joined[:, 3:5, 3, 5], (coarse[:, :, 2:5, 4:7] * weights).sum((2, 3)), atol=1e-6)
    assert (joined[:, 5] == 7).all()
    flat = torch.full((1, 3, 32, 48), 0.5)
    assert torch.allclose(features.joined(flat)[0, :5, 0, 0], torch.tensor([0.5, 0.5, 0.5, 0.25, 0.25]))
    assert features.joined(flat).std((2, 3)).max() < 1e-6


def test_a_ramp_is_not_shifted(features):
    ramp = torch.arange(48.0).div(48).expand(1, 3, 32, 48)
    coarse = features.joined(ramp.sqrt())[0, 3, 4]
    expected = interpolate(ramp[:, :1, ::8, ::8], (8, 12), mode="bilinear")[0, 0, 4]
    assert torch.allclose(coarse[2:-2], expected[2:-2], atol=0.03)


def test_grey_photos_are_those_with_three_equal_channels(features):
    grey = PHOTOS[:, :1]
    assert torch.equal(features(grey), features(grey.expand(-1, 3, -1, -1)))


def test_features_are_normalised_and_their_length_is_softened(features):
    joined = features.joined(PHOTOS)
    columns = joined[:, :5].movedim(1, -1).flatten(0, -2)
    scaled = features.scaled(columns.mean(0), columns.std(0, correction=0))
    found = scaled(PHOTOS)
    x = ((columns - columns.mean(0)) / columns.std(0, correction=0)).reshape(3, 8, 12, 5).movedim(-1, 1)
    length = torch.linalg.vector_norm(x, dim=1, keepdim=True) / math.sqrt(5)
    assert torch.allclose(found[:, :5], x / length.sqrt(), atol=1e-5)
    assert torch.equal(found[:, 5:], joined[:, 5:])
    assert torch.equal(scaled.normalised(columns[:4]), scaled.normalised(columns[:4, :, None, None])[..., 0, 0])


def test_constant_features_stay_finite(features):
    scaled = features.scaled(torch.full((5,), 0.5), torch.zeros(5))
    assert (scaled.deviation == LEAST_SPREAD).all()
    found = scaled(torch.full((1, 3, 32, 48), 0.5))
    assert found.isfinite().all()
    assert torch.equal(features.normalised(torch.zeros(1, 5)), torch.zeros(1, 5))


def test_another_engine_gives_the_maps_and_is_not_saved(features):
    asked = []

    def engine(photos):
        asked.append(photos.shape)
        return features.network(photos)

    other = features.on(engine)
    assert torch.equal(other(PHOTOS), features(PHOTOS))
    assert asked == [(3, 3, 32, 48)]
    assert other.on(None).engine is None
    assert other.state_dict().keys() == features.state_dict().keys()
    assert not other.training


# ----------------------------------------------------------------------------------------------------------- the spec


@pytest.mark.parametrize("photo", [(1, 64, 64), (3, 224, 224), (3, 65, 130), (1, 1, 1)])
@pytest.mark.parametrize("variant", [0, 1, 2])
def test_a_spec_knows_the_shape_of_its_features(variant, photo):
    spec = FeatureSpec(photo, variant)
    spec.check(spec.shape)
    assert spec.shape[1:] == tuple(-(-side // 16) for side in photo[1:])
    table = VARIANTS[variant].stages
    assert spec.patches == table[3].channels + table[5].channels
    assert spec.shape[0] == spec.patches + table[6].channels


def test_what_is_built_gives_that_shape():
    with tiny_network():
        spec = FeatureSpec((1, 65, 96))
        built = spec.build(network())
        assert built(torch.rand(2, 1, 65, 96)).shape == (2, *spec.shape)
        assert len(built.mean) == len(built.deviation) == spec.patches
        with torch.device("meta"):
            named = {name: value.shape for name, value in spec.build().state_dict().items()}
        assert named == {name: value.shape for name, value in built.state_dict().items()}


def test_the_scales_of_arrays_of_photos_do_not_matter_to_their_batch():
    with tiny_network():
        built = FeatureSpec((1, *SIZE)).build(network())
        photos = torch.rand(3, 1, *SIZE, generator=torch.Generator().manual_seed(1))
        alone = torch.cat([built(each[None]) for each in photos])
        assert torch.allclose(alone, built(photos), atol=1e-5)


SHAPE = FeatureSpec((1, 64, 64)).shape


@pytest.mark.parametrize(
    ("spec", "shape"),
    [
        (FeatureSpec((1, 64, 64), 3), SHAPE),
        (FeatureSpec((1, 64, 64), -1), SHAPE),
        (FeatureSpec((1, 64, 64), 0, ()), SHAPE),
        (FeatureSpec((1, 64, 64), 0, STAGES[:2]), SHAPE),
        (FeatureSpec((1, 64, 64), 0, (3, 5, 99)), SHAPE),
        (FeatureSpec((2, 64, 64)), SHAPE),
        (FeatureSpec((1, 64)), SHAPE),
        (FeatureSpec((1, 0, 64)), SHAPE),
        (FeatureSpec((1, 64, 64)), (SHAPE[0], 4, 5)),
        (FeatureSpec((1, 64, 64)), (SHAPE[0] + 1, 4, 4)),
        (FeatureSpec((1, 80, 64)), SHAPE),
        (FeatureSpec(()), SHAPE),
    ],
)
def test_a_spec_that_does_not_fit_is_refused(spec, shape):
    with pytest.raises(ValueError, match="features"):
        spec.check(shape)
