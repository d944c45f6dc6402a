"""Masked columns: what the encoder sees, what is restored, and that a column cannot be copied."""

import pytest
import torch

from memae.pretext import Views
from memae.pretext.columns import GROUPS, ROUNDS, ColumnSpec, MaskedColumns
from memae.randomness import BatchRandom
from memae.spec import MemorySpec, Spec, build

WIDTHS = (1, 3, 1, 2, 1, 1)


def test_every_column_is_masked_as_a_whole_once_a_round():
    task = MaskedColumns(WIDTHS)
    assert task.owner.tolist() == [0, 1, 1, 1, 2, 3, 3, 4, 5]
    assert task.masks.shape == (6, 9)  # two columns a view
    assert task.masks.sum(0).tolist() == [ROUNDS] * 9
    for mask in task.masks:
        assert {bool(mask[task.owner == column].all()) for column in task.owner[mask].tolist()} == {True}
    assert len(MaskedColumns([1] * 40).masks) == GROUPS * ROUNDS
    assert len(MaskedColumns([1]).masks) == ROUNDS


def test_training_masks_whole_columns_by_a_share_of_each_row():
    task = MaskedColumns(WIDTHS)
    sampled = task.sampled(BatchRandom(torch.Generator().manual_seed(0), 20_000))
    first = torch.tensor([0, 1, 4, 5, 7, 8])
    assert torch.equal(sampled, sampled[:, first][:, task.owner])
    torch.testing.assert_close(sampled.double().mean(0), torch.full((9,), 0.3, dtype=torch.float64), atol=0.02, rtol=0)
    assert sampled.double().mean(1).std() > 0.2  # rows lose different shares
    again = task.sampled(BatchRandom(torch.Generator().manual_seed(0), 20_000))
    assert torch.equal(sampled, again)


def test_a_restored_value_does_not_depend_on_the_value_that_was_masked():
    torch.manual_seed(0)
    model = build(Spec((9,), (16, 8), memory=MemorySpec(4, temperature=0.1), pretext=ColumnSpec(WIDTHS))).eval()
    x = torch.randn(5, 9)
    with torch.no_grad():
        x_hat = model(x).x_hat
        for column in range(len(WIDTHS)):
            own = model.pretext.owner == column
            other = torch.where(own, torch.randn(5, 9), x)
            found = model(other).x_hat
            torch.testing.assert_close(found[:, own], x_hat[:, own])
            assert not torch.allclose(found[:, ~own], x_hat[:, ~own])


def restored(model, x, mask):
    return model.decode(model.encoder(model.pretext.presented(Views(x, mask.expand(3, 9)))))


def test_restored_values_are_the_mean_of_the_views_that_masked_them():
    torch.manual_seed(0)
    model = build(Spec((9,), (16, 8), pretext=ColumnSpec(WIDTHS))).eval()
    x = torch.randn(3, 9)
    with torch.no_grad():
        masks = model.pretext.masks
        each = torch.stack([restored(model, x, mask) for mask in masks])
        expected = torch.stack([each[masks[:, place], :, place].mean(0) for place in range(9)], 1)
        torch.testing.assert_close(model(x).x_hat, expected)
    assert model(x).codes.shape == (len(masks) * 3, 8)
    assert model(x).fallback.shape == (3,)


def test_the_encoder_is_told_what_is_masked():
    masked = torch.tensor([[True, False], [False, False]])
    views = Views(torch.tensor([[5.0, 6.0], [7.0, 8.0]]), masked)
    assert MaskedColumns((1, 1)).presented(views).tolist() == [[0, 6, 1, 0], [7, 8, 0, 0]]
    model = build(Spec((2,), (3,), pretext=ColumnSpec((1, 1))))
    x = torch.randn(4, 2)
    nothing = model.pretext.presented(Views(x, torch.zeros(4, 2, dtype=torch.bool)))
    assert torch.equal(model.encode(x), model.encoder(nothing))
    with pytest.raises(RuntimeError):
        build(Spec((2,), (3,))).encode(torch.randn(4, 4))  # without masks, columns alone go in
