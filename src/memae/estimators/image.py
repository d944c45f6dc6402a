"""The detector for images."""

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from memae.artifact import Artifact
from memae.data.images import ImageFiles
from memae.data.samples import Indexed, ReadAhead, Samples, Selection, digest
from memae.estimators.base import Estimator, Prepared, check_references
from memae.estimators.devices import Device
from memae.estimators.examples import root_of, within
from memae.estimators.restoring import restored_pixels
from memae.kinds import Images
from memae.kinds.images import opened
from memae.kinds.pixel_units import pixel_range, pixel_unit
from memae.losses import Criterion, Reduction
from memae.memory import OnEmpty, Similarity
from memae.model import code_shape
from memae.networks.convolutional import default_layout
from memae.networks.orientation import turns_of
from memae.options import Choice, Init, Options
from memae.scoring import Scorer

PAPER: dict[str, Any] = {
    "widths": "paper",
    "n_items": 100,
    "temperature": 1.0,
    "shrinkage": 1.0,
    "on_empty": "zero",
    "criterion": "error",
    "turns": False,
    "references": 0,
    "erase": 0.0,
    "epochs": 40,
    "batch_size": 64,
    "init": "uniform",
    "warmup": 0,
}
"""What the paper says, and the rate and epochs with which its Table 1 is reproduced here."""

REFERENCE_BYTES = 2**26


class ImageMemAE(Estimator):
    """Detects anomalous images, and where in them.

    X is a folder (searched through), an image file, a list of files, or an array `(n, h, w)`, `(n, c, h, w)` or
    `(n, h, w, c)`. PNG, JPEG, BMP and TIFF, 8 and 16 bit, grey and RGB. Arrays of uint8, uint16 and bool are grey
    levels like files; arrays of floats are taken from the lowest to the highest value of the training data.

    Args:
        n_items: items of the memory; None takes half as many as images, 10 at least and 500 at most; 0 is a plain
            autoencoder.
        size: height and width that files and arrays are scaled to; None takes that of the images, which must agree.
        channels: 1 for grey, 3 for RGB; None takes 3 where a training image has colour.
        widths: channels of the encoder's layers; None takes a network for the size, "paper" that of the paper.
        strides: of the encoder's layers; None as for widths.
        per_position: whether an item holds the feature of one position, instead of the whole code.
        similarity: "cosine" (the paper) or "dot" (the authors' code).
        temperature: divides the similarity; the lower, the fewer items answer. The paper's is 1.
        learn_temperature: whether it is trained.
        shrinkage: λ·N of the hard shrinkage; the paper recommends 1 to 3, 0 switches it off.
        on_empty: what a query reads whose weights all fall below λ: the "strongest" item, or "zero".
        alpha: weight of the entropy in the training objective.
        reduction: squared error as "sum" or "mean" over the pixels, or mean "absolute" error.
        criterion: whether the score is that "error" (the paper), or "relative" to the contrast of an image, blurred.
        turns: whether the score also counts how badly it is told from the memory's answer how an image was turned; that
            weighs nothing where normal images look the same in every position.
        references: training images whose codes are kept, so that the score also counts the distance to the nearest of
            them; None takes as many as 64 MiB hold, 0 none.
        erase: side, as a share of the image's, of the block that is erased from training images, to be restored;
            0 for none.
        epochs: passes over the training images, at most.
        batch_size: images a step; None takes a fiftieth of the images, 8 at least and 64 at most.
        learning_rate: of Adam.
        decay: whether it falls to 0 over the training.
        choose: keep the epoch with the "lowest" held-out error, or the "last".
        patience: stop after so many epochs without a lower held-out error; None never.
        init: first items: "uniform", encodings of "samples", or their "kmeans" centres.
        warmup: epochs without memory before the items are set; None takes 2, if there are more.
        revive: restart items that no image reads.
        held_out: share of the images that is only used to choose the epoch and to calibrate; more is taken where the
            false-alarm rate needs it.
        false_alarm_rate: share of normal images that may be flagged.
        keep_samples: whether the model keeps small pictures of the training images that lie nearest to its items, to
            explain scores with; see `explain`.
        device: where to train: "auto", "cpu", "cuda" or "mps".
        random_state: seed of everything that is drawn.

    Attributes:
        scorer_: the trained `Scorer`.
        history_: one `Epoch` a pass.
        health_: state of the memory in the chosen epoch.
        threshold_: anomaly score above which an image is flagged; `offset_` is its negative.

    References:
        Gong et al., ICCV 2019, section 4.1.

    Example:
        >>> from sklearn.datasets import load_digits
        >>> digits = load_digits()
        >>> zeros = digits.images[digits.target == 0]
        >>> detector = ImageMemAE(epochs=20, n_items=20).fit(zeros)
        >>> bool(detector.anomaly_score(digits.images[digits.target == 1]).mean() > detector.threshold_)
        True
    """

    kind = "image"

    def __init__(
        self,
        n_items: int | None = None,
        *,
        size: tuple[int, int] | None = None,
        channels: int | None = None,
        widths: Sequence[int] | Literal["paper"] | None = None,
        strides: Sequence[Sequence[int]] | None = None,
        per_position: bool = False,
        similarity: Similarity = "cosine",
        temperature: float = 0.03,
        learn_temperature: bool = False,
        shrinkage: float = 1.0,
        on_empty: OnEmpty = "strongest",
        alpha: float = 0.0002,
        reduction: Reduction = "sum",
        criterion: Criterion = "relative",
        turns: bool = True,
        references: int | None = None,
        erase: float = 0.35,
        epochs: int = 20,
        batch_size: int | None = None,
        learning_rate: float = 0.002,
        decay: bool = True,
        choose: Choice = "lowest",
        patience: int | None = None,
        init: Init = "kmeans",
        warmup: int | None = None,
        revive: bool = False,
        held_out: float = 0.1,
        false_alarm_rate: float = 0.05,
        keep_samples: bool = True,
        device: Device = "auto",
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.n_items = n_items
        self.size = size
        self.channels = channels
        self.widths = widths
        self.strides = strides
        self.per_position = per_position
        self.similarity = similarity
        self.temperature = temperature
        self.learn_temperature = learn_temperature
        self.shrinkage = shrinkage
        self.on_empty = on_empty
        self.alpha = alpha
        self.reduction = reduction
        self.criterion = criterion
        self.turns = turns
        self.references = references
        self.erase = erase
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.decay = decay
        self.choose = choose
        self.patience = patience
        self.init = init
        self.warmup = warmup
        self.revive = revive
        self.held_out = held_out
        self.false_alarm_rate = false_alarm_rate
        self.keep_samples = keep_samples
        self.device = device
        self.random_state = random_state

    @classmethod
    def paper(cls, **more: Any) -> Self:
        """The paper's setting instead of the defaults, as far as it is disclosed and can work (see docs/method.md).

        Cosine without temperature, λ = 1/N, items from random numbers, Eq. 10 and Eq. 8 alone; 100 items, the paper's
        number for MNIST (for CIFAR-10: 500).

        Args:
            more: other parameters, and those of the paper to replace.

        Example:
            >>> ImageMemAE.paper(n_items=500).temperature
            1.0
        """
        return cls(**(PAPER | more))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        return tags

    def _prepare(self, X: Any) -> Prepared:
        check_references(self.references)
        images = opened(X, self.channels, self.size)
        self.unit_ = pixel_unit(X)
        first = images.take(torch.tensor([0]))
        self.shape_ = tuple(first.shape[1:])
        training: Samples
        training, held_out = self._split(images)
        names = partial(_image_name, root_of(X) if isinstance(images, ImageFiles) else None, images, training.index)
        if isinstance(images, ImageFiles) and not images.cached:
            training = ReadAhead(training)
        center, scale = pixel_range(self.unit_, images)
        checksum = digest(Selection(images).batches(64))
        return Prepared(self.shape_, center, scale, training, held_out, checksum, names)

    @property
    def kind_(self) -> Images:
        """Reads, scores and explains images as those of training."""
        check_is_fitted(self, "scorer_")
        return Images(self.shape_, self.unit_, self.size is not None)

    def _layout(self, shape: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]:
        layout = default_layout(shape[0], shape[1:], paper=self.widths == "paper")
        widths = layout.widths if self.widths is None or self.widths == "paper" else tuple(self.widths)
        strides = layout.strides if self.strides is None else tuple(tuple(stride) for stride in self.strides)
        return widths, strides

    def _per_position(self) -> bool:
        return self.per_position

    def _criterion(self) -> Criterion:
        return self.criterion

    def _turns(self, shape: tuple[int, ...]) -> int:
        return turns_of(shape[1:]) if self.turns else 0

    def _warmup(self) -> int:
        return min(2, int(self.epochs) - 1)

    def _item_count(self, samples: int) -> int:
        return min(max(samples // 2, 10), 500) if self.n_items is None else int(self.n_items)

    def _remember(self, scorer: Scorer, training: Samples, options: Options) -> None:
        code = math.prod(code_shape(self._spec(self.shape_, len(training)))) * scorer.model.turns
        wanted = REFERENCE_BYTES // (4 * code) if self.references is None else self.references
        if wanted:
            order = torch.Generator().manual_seed(options.seed)
            scorer.remember(scorer.codes(training.batches(scorer.chunk, order), min(wanted, len(training))))

    def _batch_size(self, samples: int) -> int:
        return min(max(samples // 50, 8), 64) if self.batch_size is None else int(self.batch_size)

    def _encoding(self) -> dict[str, Any]:
        return {"unit": self.unit_, "shape": list(self.shape_)}

    def _restore(self, source: Artifact) -> None:
        self.unit_, self.shape_ = restored_pixels(source, self.size)


def _image_name(root: Path | None, images: Indexed, training: Tensor, place: int) -> str:
    """How the user knows a training image: its path below `root`, or its number in an array."""
    number = int(training[place])
    if root is None or not isinstance(images, ImageFiles):
        return f"image {number}"
    return within(root, images.paths[number])
