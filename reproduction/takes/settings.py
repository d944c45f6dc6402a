"""What the paper leaves open, as the settings of one training, and the three variants that are trained with each."""

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from memae.options import Options
from memae.parameters import Init, OnEmpty, Reduction

Range = Literal["unit", "signed", "standardised", "each"]
Variant = Literal["ae", "memae_nonspar", "memae"]
VARIANTS: dict[Variant, str] = {"ae": "AE", "memae_nonspar": "MemAE-nonSpar", "memae": "MemAE"}
ALPHA = 0.0002
"""Of the entropy in Eq. 10; the paper discloses it."""


@dataclass(frozen=True)
class Setting:
    """One choice for everything that the paper does not disclose; the defaults are those of our Table 1 for MNIST.

    Args:
        padding: of every convolution.
        code: multiple of the printed number of channels of the code.
        per_position: whether an item is the feature of one position, not a whole code.
        epochs: passes over the training samples.
        rate: of Adam; the paper's is 1e-4.
        decay: whether the rate falls to 0 along half a cosine.
        batch: samples per step.
        range: range of the input. Images: "unit" [0, 1], "signed" [−1, 1], "standardised" by mean and deviation of the
            training images, "each" by those of each image. Tables: by the columns of the training rows; there is no
            "each".
        momentum: of BatchNorm, the weight of the present batch in the running statistics.
        slope: of the LeakyReLU.
        reduction: of the error in Eq. 10, which decides what α means.
        init: first items.
        warmup: epochs before the items are set, in which the memory is bypassed.
        temperature: τ of the addressing.
        shrinkage: λ·N.
        on_empty: treatment of a query for which no weight exceeds λ.
    """

    padding: int = 1
    code: float = 1.0
    per_position: bool = False
    epochs: int = 40
    rate: float = 2e-3
    decay: bool = True
    batch: int = 64
    range: Range = "unit"
    momentum: float = 0.1
    slope: float = 0.2
    reduction: Reduction = "sum"
    init: Init = "uniform"
    warmup: int = 0
    temperature: float = 1.0
    shrinkage: float = 1.0
    on_empty: OnEmpty = "zero"

    def of(self, variant: Variant) -> "Setting":
        """The same, with what makes no difference to a variant at its default, so that equal trainings run once."""
        plain = Setting()
        sparse = {"shrinkage": plain.shrinkage, "on_empty": plain.on_empty}
        memory = {name: getattr(plain, name) for name in ("per_position", "init", "warmup", "temperature")}
        unused: dict[str, Any] = {"ae": sparse | memory, "memae_nonspar": sparse, "memae": {}}[variant]
        return replace(self, **unused)

    def options(self, variant: Variant, seed: int) -> Options:
        """Of the training of a variant."""
        return Options(
            epochs=self.epochs,
            batch_size=self.batch,
            learning_rate=self.rate,
            decay=self.decay,
            alpha=ALPHA if variant == "memae" else 0.0,
            reduction=self.reduction,
            init=self.init,
            warmup=self.warmup,
            seed=seed,
        )

    def json(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)

    def name(self) -> str:
        """A short name, the same for the same setting."""
        return hashlib.sha256(json.dumps(self.json(), sort_keys=True).encode()).hexdigest()[:8]
