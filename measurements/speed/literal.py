"""Reference implementations of addressing for the kernel: two straightforward ones."""

import torch
from torch import Tensor, nn

from memae.memory import Memory


def literal(memory: Memory, z: Tensor) -> tuple[Tensor, Tensor]:
    """Read and entropy by Eq. 4 to 7 and 9 as they stand, with the whole matrix of weights."""
    found = memory._plain(z)
    return found.read, found.entropy


def as_the_authors(memory: Memory, z: Tensor) -> tuple[Tensor, Tensor]:
    """The same as in the authors' module: dot product, the ReLU of Eq. 7 with ε, L1 norm."""
    w = (z @ memory.items.T).softmax(1)
    w = (nn.functional.relu(w - memory.threshold) * w) / ((w - memory.threshold).abs() + 1e-12)
    w = nn.functional.normalize(w, p=1, dim=1)
    return w @ memory.items, -(w * torch.log(w + 1e-12)).sum(1)
