"""The order of the samples that a search finds."""

import pytest
import torch

from memae.nearest import Finder


@pytest.mark.parametrize("features", [3, 20])
def test_among_equally_distant_samples_the_earlier_comes_first_in_any_batch(features):
    random = torch.Generator().manual_seed(0)
    grid = torch.randint(-2, 3, (3000, features), generator=random).double().unique(dim=0)
    samples, queries = grid[torch.randperm(len(grid), generator=random)], grid[:70]
    find = Finder(samples)
    found = find(queries, 8)
    exact = (queries[:, None] - samples).square().sum(2).sqrt()
    wanted = exact.sort(dim=1, stable=True)
    assert torch.equal(found.distance, wanted.values[:, :8])
    assert torch.equal(found.which, wanted.indices[:, :8])
    assert torch.equal(found.samples, samples[found.which])
    assert torch.equal(found.squares, (queries[:, None] - found.samples).square())
    alone = [find(query[None], 8).which for query in queries]
    assert torch.equal(torch.cat(alone), found.which)


def test_queries_of_several_blocks_are_searched_like_those_of_one():
    random = torch.Generator().manual_seed(1)
    samples = torch.randn(600, 9, generator=random, dtype=torch.float64)
    queries = torch.randn(3000, 9, generator=random, dtype=torch.float64)
    find = Finder(samples)
    assert len(queries) > find.block
    itself = torch.arange(600).repeat(5)
    found = find(samples.repeat(5, 1), 4, apart=itself)
    assert not (found.which == itself[:, None]).any()
    whole = find(queries, 4)
    exact = torch.cdist(queries, samples).sort(dim=1, stable=True)
    assert torch.equal(whole.which, exact.indices[:, :4])
