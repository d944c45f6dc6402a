"""Hidden columns: what the encoder sees, what is restored, and that a column cannot be copied."""

import pytest
import torch

from memae.model import MemorySpec, Spec, build
from memae.networks.hiding import GROUPS, ROUNDS, Hiding, shown

WIDTHS = (1, 3, 1, 2, 1, 1)


def test_every_column_is_hidden_as_a_whole_once_a_round():
    hiding = Hiding(WIDTHS)
    assert hiding.owner.tolist() == [0, 1, 1, 1, 2, 3, 3, 4, 5]
    assert hiding.views.shape == (6, 9)  # two columns a view
    assert hiding.views.sum(0).tolist() == [ROUNDS] * 9
    for view in hiding.views:
        assert {bool(view[hiding.owner == column].all()) for column in hiding.owner[view].tolist()} == {True}
    assert len(Hiding([1] * 40).views) == GROUPS * ROUNDS
    assert len(Hiding([1]).views) == ROUNDS


def test_training_hides_whole_columns_by_a_share_of_each_row():
    hiding = Hiding(WIDTHS)
    drawn = hiding.drawn(20_000, torch.Generator().manual_seed(0))
    first = torch.tensor([0, 1, 4, 5, 7, 8])
    assert torch.equal(drawn, drawn[:, first][:, hiding.owner])
    torch.testing.assert_close(drawn.double().mean(0), torch.full((9,), 0.3, dtype=torch.float64), atol=0.02, rtol=0)
    assert drawn.double().mean(1).std() > 0.2  # rows lose different shares
    again = hiding.drawn(20_000, torch.Generator().manual_seed(0))
    assert torch.equal(drawn, again)


def test_a_restored_value_does_not_depend_on_the_value_that_was_hidden():
    torch.manual_seed(0)
    model = build(Spec((9,), (16, 8), memory=MemorySpec(4, temperature=0.1), columns=WIDTHS)).eval()
    x = torch.randn(5, 9)
    with torch.no_grad():
        x_hat = model(x).x_hat
        for column in range(len(WIDTHS)):
            own = model.hiding.owner == column
            other = torch.where(own, torch.randn(5, 9), x)
            found = model(other).x_hat
            torch.testing.assert_close(found[:, own], x_hat[:, own])
            assert not torch.allclose(found[:, ~own], x_hat[:, ~own])


def test_restored_values_are_the_mean_of_the_views_that_hid_them():
    torch.manual_seed(0)
    model = build(Spec((9,), (16, 8), columns=WIDTHS)).eval()
    x = torch.randn(3, 9)
    with torch.no_grad():
        views = model.hiding.views
        each = torch.stack([model(x, view.expand(3, 9)).x_hat for view in views])
        expected = torch.stack([each[views[:, place], :, place].mean(0) for place in range(9)], 1)
        torch.testing.assert_close(model(x).x_hat, expected)
    assert model(x).query.shape == (len(views) * 3, 8)
    assert model(x).fallback.shape == (3,)


def test_the_encoder_is_told_what_is_hidden():
    hidden = torch.tensor([[True, False], [False, False]])
    assert shown(torch.tensor([[5.0, 6.0], [7.0, 8.0]]), hidden).tolist() == [[0, 6, 1, 0], [7, 8, 0, 0]]
    model = build(Spec((2,), (3,), columns=(1, 1)))
    x = torch.randn(4, 2)
    assert torch.equal(model.encode(x), model.encode(x, torch.zeros(4, 2, dtype=torch.bool)))
    with pytest.raises(RuntimeError):
        build(Spec((2,), (3,))).encode(torch.randn(4, 4))  # without hiding, columns alone go in
