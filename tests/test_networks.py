"""Whatever the size of the image or clip, the decoder gives it back exactly; or the size is refused with a reason."""

import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memae.errors import OptionError
from memae.networks import convolutional, tabular
from memae.networks.convolutional import Layout, sizes, smallest
from memae.spec import MemorySpec, Spec, build, code_shape


def pass_through(channels, space, layout):
    """The output sizes of encoder and decoder, by torch's own shape rules, without computing any number."""
    with torch.device("meta"):
        x = torch.zeros(2, channels, *space)
        code = convolutional.encoder(channels, space, layout).eval()(x)
        return code.shape, convolutional.decoder(channels, space, layout).eval()(code).shape


@st.composite
def layouts(draw, dimensions):
    depth = draw(st.integers(1, 4))
    widths = tuple(draw(st.integers(1, 3)) for _ in range(depth))
    return Layout(widths, tuple(tuple(draw(st.integers(1, 3)) for _ in range(dimensions)) for _ in range(depth)))


@given(st.data())
@settings(max_examples=60)
def test_any_size_comes_back_or_is_refused_with_the_smallest_that_works(data):
    dimensions = data.draw(st.sampled_from([2, 3]))
    layout = data.draw(layouts(dimensions))
    space = tuple(data.draw(st.integers(5 if dimensions == 2 else 1, 40)) for _ in range(dimensions))
    least = tuple(smallest(axis, layout.strides) for axis in range(dimensions))
    if all(side >= low for side, low in zip(space, least, strict=True)):
        code, back = pass_through(1, space, layout)
        assert code == (2, layout.widths[-1], *sizes(space, layout.strides)[-1])
        assert back == (2, 1, *space)
    else:
        with pytest.raises(OptionError, match=re.escape(f"Use {' × '.join(map(str, least))} or more")):
            convolutional.encoder(1, space, layout)


@given(st.data())
@settings(max_examples=25)
def test_the_smallest_size_works_and_one_less_does_not(data):
    dimensions = data.draw(st.sampled_from([2, 3]))
    layout = data.draw(layouts(dimensions))
    least = [smallest(axis, layout.strides) for axis in range(dimensions)]
    assert pass_through(1, least, layout)[1] == (2, 1, *least)
    for axis, side in enumerate(least):
        if side > 1:
            less = [*least[:axis], side - 1, *least[axis + 1 :]]
            with pytest.raises(OptionError, match="too small for this network"):
                convolutional.encoder(1, less, layout)


@given(st.integers(5, 40), st.integers(5, 40))
@settings(max_examples=20)
def test_an_image_of_any_size_is_reconstructed(h, w):
    layout = Layout((4, 3, 2), ((2, 2), (2, 2), (3, 3)))
    if min(h, w) < smallest(0, layout.strides):
        with pytest.raises(OptionError):
            build(Spec((1, h, w), *layout, memory=MemorySpec(5)))
        return
    for per_position in (False, True):
        spec = Spec((1, h, w), *layout, memory=MemorySpec(5, per_position=per_position))
        model = build(spec)
        x = torch.rand(3, 1, h, w)
        found = model(x)
        assert found.x_hat.shape == x.shape
        assert found.recall.entropy.shape == ((3, *code_shape(spec)[1:]) if per_position else (3,))


@given(st.integers(2, 9), st.integers(5, 20), st.integers(5, 20))
@settings(max_examples=15)
def test_a_clip_of_any_size_is_reconstructed(t, h, w):
    layout = Layout((3, 2), ((1, 2, 2), (2, 2, 2)))
    spec = Spec((1, t, h, w), *layout, memory=MemorySpec(5, per_position=True))
    x = torch.rand(2, 1, t, h, w)
    assert build(spec)(x).x_hat.shape == x.shape


@pytest.mark.parametrize(
    ("widths", "strides"),
    [((4, 2), ((2, 2),)), ((4,), ((2, 2), (2, 2))), ((), ()), ((4, 0), ((2, 2), (2, 2)))],
)
def test_widths_and_strides_that_do_not_match_are_refused(widths, strides):
    with pytest.raises(OptionError, match="widths and strides must name the same layers"):
        convolutional.encoder(1, (28, 28), Layout(widths, strides))


def test_strides_of_another_dimension_are_refused():
    with pytest.raises(OptionError, match=r"must have 3 numbers a layer .* got \(2, 2\)"):
        build(Spec((1, 8, 16, 16), (4,), ((2, 2),)))


@given(st.integers(1, 300))
def test_default_table_widths_shrink_and_work(features):
    widths = tabular.default_widths(features)
    assert list(widths) == sorted(widths, reverse=True)
    assert widths[-1] >= 3
    model = build(Spec((features,), widths, memory=MemorySpec(7)))
    x = torch.randn(3, features)
    assert model(x).x_hat.shape == x.shape
    assert model.encode(x).shape == (3, widths[-1])
    assert float(model.encode(x).detach().abs().max()) <= 1.0  # Tanh also after the last


def test_the_paper_s_table_widths_are_the_default_for_its_features():
    assert tabular.default_widths(120) == tabular.KDDCUP


@pytest.mark.parametrize("widths", [(), (5, 0), (-1,)])
def test_table_widths_below_one_are_refused(widths):
    with pytest.raises(OptionError, match="widths must be one or more numbers above 0"):
        build(Spec((4,), widths))


def test_the_code_is_read_whole_or_position_by_position():
    torch.manual_seed(0)
    layout = Layout((4,), ((2, 2),))
    whole = build(Spec((1, 6, 6), *layout, memory=MemorySpec(5))).eval()
    x = torch.rand(2, 1, 6, 6)
    assert torch.equal(whole.encode(x), whole.encoder(x).flatten(1))
    z = whole.encode(x)
    assert torch.equal(whole.decode(z), whole.decoder(z.reshape(2, 4, 3, 3)))
    assert torch.equal(whole(x).x_hat, whole.decode(whole.memory(z).read))
    whole.bypass = True
    assert torch.equal(whole(x).x_hat, whole.decode(z))
    assert whole(x).recall is None
