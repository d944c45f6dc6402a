"""The kernel against the literal form, forwards and backwards, over chunks, and its memory."""

import shutil

import pytest
import torch

from memae import kernel
from memae.memory import Memory


def compared(memory, z):
    """Answers and gradients of a loss over read and entropy, by the kernel and by the literal form."""
    found = []
    for read in (memory.forward, memory._plain):
        z.grad = None
        memory.zero_grad()
        recall = read(z)
        torch.manual_seed(1)
        loss = (recall.read * torch.randn(recall.read.shape, dtype=z.dtype)).sum()
        loss = loss + (recall.entropy * torch.randn(recall.entropy.shape, dtype=z.dtype)).sum()
        loss.backward()
        found.append((recall, [z.grad, *(p.grad for p in memory.parameters())]))
    return found


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
@pytest.mark.parametrize("on_empty", ["strongest", "zero"])
@pytest.mark.parametrize("shrinkage", [0.0, 1.0, 2.5])
@pytest.mark.parametrize("space", [(), (5, 7)])
def test_the_kernel_is_the_literal_form_over_many_chunks(monkeypatch, similarity, on_empty, shrinkage, space):
    monkeypatch.setattr(kernel, "CACHED", 1)  # 64 rows a chunk, the last one short
    torch.manual_seed(0)
    how = {"similarity": similarity, "on_empty": on_empty, "shrinkage": shrinkage}
    memory = Memory(40, 6, temperature=0.3, learn_temperature=True, **how).double()
    z = torch.randn(77, 6, *space, dtype=torch.float64)
    z[3] = 0.0  # all items alike for the cosine: nothing exceeds λ
    z.requires_grad_()
    (ours, gradients), (literal, expected) = compared(memory, z)
    for mine, theirs in zip(ours[:5], literal[:5], strict=True):  # a learned memory has no other fields
        assert torch.allclose(mine.double(), theirs.double(), rtol=1e-9, atol=1e-9)
    for mine, theirs in zip(gradients, expected, strict=True):
        assert torch.allclose(mine, theirs, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("cosine", [True, False])
@pytest.mark.parametrize("bounded", [True, False])
def test_gradients_pass_the_numerical_check(cosine, bounded):
    torch.manual_seed(0)
    queries, items, sharpness = torch.randn(6, 3), torch.randn(9, 3), torch.tensor(2.0)
    inputs = [each.double().requires_grad_() for each in (queries, items, sharpness)]

    def both(*given):
        answer = kernel.attend(*given, 0.1, cosine=cosine, bounded=bounded)
        return answer.read, answer.entropy

    assert torch.autograd.gradcheck(both, inputs)


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a compiler")
@pytest.mark.filterwarnings("ignore")  # of torch, where it compiles
def test_compiled_chunks_answer_as_eager_ones(monkeypatch):
    monkeypatch.setattr(kernel, "CACHED", 64 * 20)
    torch.manual_seed(0)
    z, memory = torch.randn(140, 5, requires_grad=True), Memory(20, 5, temperature=0.2)
    gradients = []
    for memory.compiled in (False, True):
        z.grad = None
        recall = memory(z)
        (recall.read.square().sum() + recall.entropy.sum()).backward()
        gradients.append((recall.read.detach(), z.grad))
    for eager, compiled in zip(*gradients, strict=True):
        assert torch.allclose(eager, compiled, rtol=1e-4, atol=1e-6)


def test_the_matrix_of_weights_is_never_whole():
    largest = 0

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            nonlocal largest
            result = function(*args, **(kwargs or {}))
            largest = max(largest, result.numel() if isinstance(result, torch.Tensor) else 0)
            return result

    memory, z = Memory(500, 8), torch.randn(10_000, 8, requires_grad=True)
    with Watch():
        recall = memory(z)
        (recall.read.sum() + recall.entropy.sum()).backward()
    assert 0 < largest <= kernel.CACHED  # of 5,000,000 weights
