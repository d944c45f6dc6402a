"""The detector for images."""

import math
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from memae.data.ahead import ahead
from memae.data.images import CACHE_BYTES, ImageFiles, find_images, images_of_array
from memae.data.pixels import resize, with_channels
from memae.data.samples import Indexed, InMemory, ReadAhead, Samples, Selection, digest
from memae.errors import SchemaError
from memae.estimators.base import Estimator, Plan, Prepared, check_references
from memae.estimators.devices import Device
from memae.estimators.examples import root_of, within
from memae.estimators.explaining import explained_images
from memae.estimators.pixel_units import check_unit, checked_size, pixel_range, pixel_unit
from memae.estimators.restoring import restored_pixels
from memae.evidence import Evidence, Explainer
from memae.losses import Reduction
from memae.memory import OnEmpty, Similarity
from memae.modelfile.artifact import Artifact
from memae.networks.convolutional import default_layout
from memae.options import Choice, Init, Options
from memae.pretext.erasing import Erasing
from memae.pretext.rotations import RotationSpec, rotations_of
from memae.scoring import Scaling, Scorer
from memae.scoring.fitting import kept_codes
from memae.scoring.measures import CodeDistance, Error, Measure, RelativeError, Surprise
from memae.spec import Spec, code_shape

Criterion = Literal["error", "relative"]

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
        images = self._images(X, self.channels, self.size)
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

    def _images(self, X: Any, channels: int | None, size: tuple[int, int] | None, *, keep: bool = True) -> Indexed:
        """Images of any source, of one size and number of channels; files that were opened already are as they are."""
        if isinstance(X, ImageFiles):
            return X
        size = checked_size(size)
        listed = isinstance(X, list | tuple) and X and isinstance(X[0], str | Path)
        if listed or isinstance(X, str | Path):
            paths = [Path(path) for path in X] if listed else find_images(Path(X))
            return ImageFiles(paths, channels=channels, size=size, cache_bytes=CACHE_BYTES if keep else 0)
        pixels = images_of_array(X)
        pixels = pixels if channels is None else with_channels(pixels, channels)
        return InMemory(pixels if size is None else resize(pixels, size))

    def _raw(self, X: Any) -> Iterator[Tensor]:
        check_is_fitted(self, "shape_")
        check_unit(self.unit_, X.paths if isinstance(X, ImageFiles) else X)
        images = self._images(X, self.shape_[0], self.size, keep=False)
        return self._batches(images, Selection(images))

    def _explained(self, X: Any, explainer: Explainer, only: Collection[int] | None) -> Iterator[Evidence]:
        check_unit(self.unit_, X)
        images = self._images(X, self.shape_[0], self.size, keep=False)
        wanted = [place for place in range(len(images)) if only is None or place in only]
        names = (str(images.paths[place]) if isinstance(images, ImageFiles) else f"image {place}" for place in wanted)
        return (
            explained_images(explainer, self._batches(images, Selection(images, torch.tensor(wanted))), names)
            if wanted
            else iter(())
        )

    def _batches(self, images: Indexed, wanted: Selection) -> Iterator[Tensor]:
        batches = self._of_same_shape(wanted)
        return ahead(batches) if isinstance(images, ImageFiles) else batches

    def _of_same_shape(self, wanted: Selection) -> Iterator[Tensor]:
        for batch in wanted.batches(64):
            if tuple(batch.shape[1:]) != self.shape_:
                raise SchemaError(
                    f"the model was fitted on images of (c, h, w) = {self.shape_}, "
                    f"these have {tuple(batch.shape[1:])}; scale them, or fit with a size"
                )
            yield batch

    def _plan(self, prepared: Prepared) -> Plan:
        samples, shape = len(prepared.training), prepared.shape
        layout = default_layout(shape[0], shape[1:], paper=self.widths == "paper")
        widths = layout.widths if self.widths is None or self.widths == "paper" else tuple(self.widths)
        strides = layout.strides if self.strides is None else tuple(tuple(stride) for stride in self.strides)
        items = min(max(samples // 2, 10), 500) if self.n_items is None else int(self.n_items)
        memory = self._memory(items, per_position=self.per_position)
        spec = Spec(shape, widths, strides, memory, RotationSpec(rotations_of(shape[1:])) if self.turns else None)
        batch_size = min(max(samples // 50, 8), 64) if self.batch_size is None else int(self.batch_size)
        options = self._options(batch_size=batch_size, warmup=2)
        scaling = Scaling(prepared.center, prepared.scale)
        measures = partial(self._measures, prepared.training, options, spec)
        return Plan(spec, options, scaling, measures, Erasing(self.erase))

    def _measures(
        self,
        training: Samples,
        options: Options,
        spec: Spec,
        scorer: Scorer,
        held_out: Samples,  # noqa: ARG002
    ) -> list[Measure]:
        measures: list[Measure] = [RelativeError() if self.criterion == "relative" else Error(options.reduction)]
        views = 1
        if isinstance(spec.pretext, RotationSpec):
            views = spec.pretext.rotations
            measures.append(Surprise(views))
        code = math.prod(code_shape(spec)) * views
        wanted = REFERENCE_BYTES // (4 * code) if self.references is None else self.references
        if wanted:
            order = torch.Generator().manual_seed(options.seed)
            batches = training.batches(scorer.chunk, order)
            measures.append(CodeDistance(kept_codes(scorer, batches, min(wanted, len(training)))))
        return measures

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
