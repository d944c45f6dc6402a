"""Fully connected encoder and decoder for tables (section 4.3 of the paper)."""

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from memae.errors import OptionError

KDDCUP = (60, 30, 10, 3)
"""The paper's widths for 120 features: FC(120, 60)-FC(60, 30)-FC(30, 10)-FC(10, 3); N = 50."""

WIDE = (128, 32)
"""Widths for masked columns: restoring one column from the others needs a wide network even for few columns."""


def default_widths(features: int) -> tuple[int, ...]:
    """Widths for any number of features in the paper's proportions, `KDDCUP` for 120.

    Example:
        >>> default_widths(120), default_widths(30)
        ((60, 30, 10, 3), (16, 12, 8, 3))
    """
    return max(features // 2, 16), max(features // 4, 12), max(features // 12, 8), max(features // 40, 3)


def encoder(features: int, widths: Sequence[int]) -> nn.Sequential:
    """Linear layers `(b, features)` → `(b, widths[-1])`, each followed by Tanh.

    Raises:
        OptionError: there are no widths, or a width is below 1.
    """
    if not widths or min(widths) < 1:
        raise OptionError(f"widths must be one or more numbers above 0; got {tuple(widths)}")
    sizes = [features, *widths]
    return nn.Sequential(*(layer for i, o in pairwise(sizes) for layer in (nn.Linear(i, o), nn.Tanh())))


def decoder(features: int, widths: Sequence[int]) -> nn.Sequential:
    """The mirror of `encoder`: `(b, widths[-1])` → `(b, features)`, no Tanh after the last layer."""
    sizes = [*reversed(widths), features]
    layers = [layer for i, o in pairwise(sizes) for layer in (nn.Linear(i, o), nn.Tanh())]
    return nn.Sequential(*layers[:-1])
