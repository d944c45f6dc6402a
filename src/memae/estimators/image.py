"""The detector for images."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

import torch
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from memae import parameters
from memae.data.images import ImageFiles
from memae.data.samples import Indexed, ReadAhead, Samples, Selection, digest
from memae.estimators.base import Estimator, Plan, Prepared, check_kept_samples
from memae.estimators.choosing import Choice, chosen
from memae.estimators.examples import photo_examples, root_of, within
from memae.estimators.naming import with_parameters
from memae.estimators.photos import ITEMS, keep_photos
from memae.estimators.restoring import check_types, restored_pixels
from memae.features import FeatureSpec
from memae.kinds import Images
from memae.kinds.images import opened, smallest_side, tiles_of
from memae.kinds.pixel_units import checked_size, pixel_range, pixel_unit
from memae.modelfile import artifact
from memae.modelfile.artifact import Artifact
from memae.networks.convolutional import default_layout
from memae.networks.efficientnet_lite import read_lite
from memae.options import Epoch, Options, Step
from memae.parameters import former_names, renamed
from memae.pretext.erasing import Erasing
from memae.pretext.rotations import RotationSpec, rotations_of
from memae.scoring import Scaling, Scorer
from memae.scoring.calibration import Calibration, checked_rate
from memae.scoring.distances import CodeDistance
from memae.scoring.fitting import kept_codes
from memae.scoring.measures import Error, Measure, RelativeError, Surprise
from memae.spec import Spec, code_shape

INPUT = 224
"""Height and width of what the pretrained network sees, by default: those that it was trained on."""
ENLARGED = 3
"""By how much smaller images are enlarged at most: they hold no more than they show."""
KEPT_BYTES = 2**26
"""Size of the kept codes by default, at most."""


@with_parameters
@dataclass(eq=False, repr=False)
class ImageMemAE(parameters.Image, Estimator):
    """Detects anomalous images and locates the anomalies in them.

    X is a folder (searched recursively), an image file, a list of files, or an array `(n, h, w)`, `(n, c, h, w)` or
    `(n, h, w, c)`. Files are PNG, JPEG, BMP, TIFF, WebP, GIF, JPEG 2000, AVIF, HEIC (with the package pillow-heif),
    PNM, TGA or PCX, 8 or 16 bit, grey or colour; a warning names what is left out of a folder. Arrays of uint8, uint16
    and bool are grey levels, like files; arrays of floats are scaled by the lowest and the highest value of the
    training data.

    Args: see `memae.parameters.Image`.

    Attributes:
        scorer_: the trained `Scorer`.
        history_: an `Epoch` for each pass.
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

    @classmethod
    def paper(cls, **more: Any) -> Self:
        """A detector with the paper's settings, as far as they are published and work (see docs/method.md).

        Cosine similarity without temperature, λ = 1/N, random initial items, and only Eq. 10 and Eq. 8; 100 items, the
        paper's number for MNIST (500 for CIFAR-10).

        Args:
            more: other parameters, which override those of the paper.

        Example:
            >>> ImageMemAE.paper(n_items=500).temperature
            1.0
        """
        return cls(**(cls.PAPER | renamed(former_names(cls), more)))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        return tags

    def fit_steps(
        self, X: Any, *, checkpoint: str | Path | None = None, resume: bool = False, every: float = 10.0
    ) -> Iterator[Step | Epoch]:
        """`fit` as a generator, see `Estimator.fit_steps`. Kept patches are one step."""
        check_types(self)
        checked_rate(self.false_alarm_rate)
        check_kept_samples(self.kept_samples)
        variant = self.features_for(X).variant
        if variant is None:
            yield from super().fit_steps(X, checkpoint=checkpoint, resume=resume, every=every)
        else:
            yield self._keep(X, variant)

    def features_for(self, X: Any) -> Choice:
        """The features that `fit` takes for these images, and why."""
        return chosen(self.features, self.size, X)

    def announced(self, X: Any) -> str:
        """Says which features `fit` takes; see `Estimator.announced`."""
        return str(self.features_for(X))

    def _keep(self, X: Any, variant: int) -> Epoch:
        """Fits the detector by keeping patches; see `photos`."""
        began = time.perf_counter()
        side = min(INPUT, ENLARGED * smallest_side(X))
        size = checked_size(self.size) or (side, side)
        tiles = tiles_of(X, size, self.channels, keep=True)
        self.unit_, self.shape_ = pixel_unit(X), tuple(tiles.shape)
        spec = FeatureSpec(tiles.shape, variant)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        kept = keep_photos(
            tiles,
            spec,
            spec.build(read_lite(variant, spec.stages)),
            most=ITEMS if self.kept_samples is None else self.kept_samples,
            held_out=self._held_out_count(len(tiles.sizes)) if len(tiles.sizes) > 1 else 0,
            random=torch.Generator().manual_seed(seed),
        )
        epoch = Epoch(1, kept.error, kept.error, 0.0, kept.error, kept.health, time.perf_counter() - began)
        checksum = digest(photo for _, photo in tiles.by_photo())
        self._settle(kept.scorer, kept.spec, [epoch], epoch, checksum, artifact.versions())
        self.learned_ = len(tiles.sizes)
        self.recalibrate(kept.scores.numpy())
        rate = self.calibration_.false_alarm_rate
        self.scorer_ = self.scorer_.replaced(peaks=Calibration(kept.peaks, rate))
        if self.keep_examples:
            self.examples_ = photo_examples(tiles, kept.tile, kept.position, spec, X)
        return epoch

    def _prepare(self, X: Any) -> Prepared:
        check_kept_samples(self.kept_samples)
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
        """Reads, scores and explains images in the format of the training data."""
        check_is_fitted(self, "scorer_")
        return Images(self.shape_, self.unit_, self.size is not None, tiled=self.scorer_.features is not None)

    def _plan(self, prepared: Prepared) -> Plan:
        samples, shape = len(prepared.training), prepared.shape
        layout = default_layout(shape[0], shape[1:], paper=self.widths == "paper")
        widths = layout.widths if self.widths is None or self.widths == "paper" else tuple(self.widths)
        strides = layout.strides if self.strides is None else tuple(tuple(stride) for stride in self.strides)
        items = min(max(samples // 2, 10), 500) if self.n_items is None else int(self.n_items)
        memory = self._memory(items, per_position=self.per_position)
        spec = Spec(shape, widths, strides, memory, RotationSpec(rotations_of(shape[1:])) if self.rotations else None)
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
        wanted = KEPT_BYTES // (4 * code) if self.kept_samples is None else self.kept_samples
        if wanted:
            order = torch.Generator().manual_seed(options.seed)
            batches = training.batches(scorer.chunk, order)
            measures.append(CodeDistance(kept_codes(scorer, batches, min(wanted, len(training)))))
        return measures

    def _encoding(self) -> dict[str, Any]:
        return {"unit": self.unit_, "shape": list(self.shape_)}

    def _restore(self, source: Artifact) -> None:
        self.unit_, self.shape_ = restored_pixels(source, self.size)


def _image_name(root: Path | None, images: Indexed, training: Tensor, index: int) -> str:
    """Names a training image: by its path relative to `root`, or by its number in an array."""
    number = int(training[index])
    if root is None or not isinstance(images, ImageFiles):
        return f"image {number}"
    return within(root, images.paths[number])
