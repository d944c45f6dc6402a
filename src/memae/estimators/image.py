"""The detector for images."""

import json
import math
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import torch
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from memae import parameters
from memae.data.images import ImageFiles
from memae.data.samples import Indexed, InMemory, ReadAhead, Samples, Selection, digest
from memae.data.tiles import Tiles
from memae.errors import MemaeWarning, OptionError
from memae.estimators.base import Estimator, Plan, Prepared, Tell, built, check_kept_samples
from memae.estimators.choosing import Choice, features_of
from memae.estimators.devices import pick_device, together
from memae.estimators.examples import photo_examples, root_of, within
from memae.estimators.naming import with_parameters
from memae.estimators.networks import Lite, Own
from memae.estimators.photo_learning import WIDTHS, learned_photos, nearest_positions, photo_maps
from memae.estimators.photo_updating import check_kept, grown
from memae.estimators.photos import ITEMS, keep_photos
from memae.estimators.restoring import check_types, restored_pixels
from memae.features import AnyFeatureSpec, Features
from memae.group import join
from memae.kinds import Images
from memae.kinds.images import found, opened, smallest_side, tiles_of
from memae.kinds.pixel_units import check_unit, checked_size, pixel_range, pixel_unit
from memae.modelfile import artifact
from memae.modelfile.artifact import Artifact
from memae.networks.convolutional import default_layout
from memae.options import Epoch, Options, Step, chosen
from memae.parameters import former_names, renamed
from memae.parameters.image import OF_PIXELS, OF_TRAINING
from memae.patches import spread_out
from memae.pretext.erasing import Erasing
from memae.pretext.rotations import RotationSpec, rotations_of
from memae.scoring import Scaling, Scorer
from memae.scoring.calibration import Calibration, checked_rate
from memae.scoring.distances import CodeDistance
from memae.scoring.fitting import kept_codes
from memae.scoring.measures import Error, Measure, RelativeError, Surprise
from memae.spec import Spec, code_shape
from memae.training import train

LEARNED_ITEMS = 500
"""Items of a memory that is learned over features, by default: there are many more positions than photos."""
UNTRAINED = (
    "with pretrained features and without n_items nothing is trained, the kept patches are the memory. Give n_items to "
    'train a network over the features, or features="none" for one from pixels'
)
UNLIKE_PIXELS = 'only a network from pixels uses it. Give features="none"'
"""Why settings have no effect."""
ONE = (
    "a single photo cannot promise any false-alarm rate: the threshold is the highest score of its mirror images, and "
    "parts that are as good but look otherwise may lie above it. Give 20 photos or more, each of another part"
)
"""What is said of a detector that has seen one photo."""
CALIBRATED = 10_000
"""Maximum number of held-out tiles; of large photos, each is some forty."""
KEPT_BYTES = 2**26
"""Size of the kept codes by default, at most."""


@with_parameters
@dataclass(eq=False, repr=False)
class ImageMemAE(parameters.Image, Estimator):
    """Detects anomalous images and locates the anomalies in them.

    X is a folder (searched recursively), an image file, a list of files, or an array `(n, h, w)`, `(n, c, h, w)` or
    `(n, h, w, c)`. Files are PNG, JPEG, BMP, TIFF, WebP, GIF, JPEG 2000, AVIF, HEIC (with memae[heic]),
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
    choose_patches: ClassVar["staticmethod[[Tensor, int, torch.Generator], Tensor]"] = staticmethod(spread_out)
    """Which patches are kept; comparisons choose others."""

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
        self,
        X: Any,
        *,
        checkpoint: str | Path | None = None,
        resume: bool = False,
        every: float = 10.0,
        tell: Tell | None = None,
    ) -> Iterator[Step | Epoch]:
        """`fit` as a generator, see `Estimator.fit_steps`. Kept patches are one step."""
        check_types(self)
        checked_rate(self.false_alarm_rate)
        check_kept_samples(self.kept_samples)
        X = found(X)
        choice = self.features_for(X)
        if tell is not None:
            tell(str(choice))
        network = choice.network
        if network is None:
            yield from super().fit_steps(X, checkpoint=checkpoint, resume=resume, every=every)
        elif self._learns:
            running = {"checkpoint": Path(checkpoint) if checkpoint else None, "resume": resume, "every": every}
            yield from self._learn(X, network, **running)
        else:
            yield self._keep(X, network)

    @property
    def _learns(self) -> bool:
        """Whether a network is trained over features, if images are described by features."""
        return self.n_items is not None or self.kept_samples == 0

    def features_for(self, X: Any) -> Choice:
        """The features that `fit` takes for these images, and why."""
        return features_of(self.features, self.size, X)

    @property
    def trains(self) -> bool:
        """Whether `fit` trains a network. With "auto" features that depends on the images: it is known once fitted."""
        if hasattr(self, "scorer_"):
            return bool(self.scorer_.model.trained)
        return self.features in ("auto", "none") or self._learns

    def _photos(self, X: Any, network: Lite | Own) -> "_Photos":
        """Reads photos."""
        size = network.size(checked_size(self.size), smallest_side(X))
        tiles = tiles_of(X, size, self.channels, keep=True)
        self.unit_, self.shape_ = pixel_unit(X), tuple(tiles.shape)
        spec, features = network.described(tiles)
        return _Photos(tiles, spec, features, Scaling(*pixel_range(self.unit_, tiles)))

    def _keep(self, X: Any, network: Lite | Own) -> Epoch:
        """Fits the detector by keeping patches; see `photos`."""
        began = time.perf_counter()
        self._warn_of_unused(OF_TRAINING, UNTRAINED)
        tiles, spec, features, scaling = self._photos(X, network)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        checksum = digest(tiles.contents())
        kept = keep_photos(
            tiles,
            spec,
            features,
            scaling=scaling,
            most=self._most,
            held_out=self._calibrating(tiles),
            random=torch.Generator().manual_seed(seed),
            choose=self.choose_patches,
            group=together(checksum, seed, self),
        )
        epoch = Epoch(1, kept.error, kept.error, 0.0, kept.error, kept.health, time.perf_counter() - began)
        self._settle(kept.scorer, kept.spec, [epoch], epoch, checksum, artifact.versions())
        self._calibrate(len(tiles.sizes), kept.scores, kept.peaks)
        if self.keep_examples:
            self.examples_ = photo_examples(tiles, kept.tile, kept.position, spec.shape[1:], scaling, X)
        return epoch

    def _calibrating(self, tiles: Tiles) -> int:
        """Number of photos to hold out: of large ones fewer, `CALIBRATED` tiles, if the false-alarm rate allows it."""
        photos = len(tiles.sizes)
        if photos < 2:
            return 0
        enough = max(CALIBRATED * photos // len(tiles), math.ceil(1 / checked_rate(self.false_alarm_rate)))
        return min(self._held_out_count(photos), enough)

    @property
    def _most(self) -> int:
        """Maximum number of kept patches."""
        return ITEMS if self.kept_samples is None else self.kept_samples

    def _calibrate(self, photos: int, scores: Tensor, peaks: Tensor) -> None:
        """Calibrates scores and maps with those of normal photos that were left out."""
        self.learned_ = photos
        if photos == 1:
            rate = max(checked_rate(self.false_alarm_rate), Calibration(scores).smallest_rate())
            self.scorer_ = self.scorer_.replaced(calibration=Calibration(scores, rate))
            warnings.warn(ONE, MemaeWarning, stacklevel=5)
        else:
            self.recalibrate(scores.numpy())
        self.scorer_ = self.scorer_.replaced(peaks=Calibration(peaks, self.calibration_.false_alarm_rate))

    def update(self, X: Any) -> Self:
        """A copy of this detector that knows more normal photos; this detector stays unchanged, so keep it to go back.

        For kept patches of photos; nothing is trained. Patches of the new photos join the memory, which grows up to
        `kept_samples` and then gives up those items that the others cover best. How unlike a photo is as a whole is
        told by the mean and covariance of all photos. Thresholds, p-values and the reference of `drift` are those of
        the new photos, each scored without itself: give photos of today's normal parts, 19 or more for a false-alarm
        rate of 5 %, that the detector has not been fitted on.

        Args:
            X: normal photos, as in `fit`.

        Raises:
            InputError: the photos are too few for the false-alarm rate.
            OptionError: the memory was trained (`features="none"`, or `n_items`); it would have to be trained again.
            SchemaError: pixels have another unit than those of `fit`.
        """
        check_kept(self)
        check_unit(self.unit_, X)
        X = found(X)
        tiles = tiles_of(X, (self.shape_[1], self.shape_[2]), self.shape_[0], keep=True)
        return grown(self, tiles, X, held_out=self._calibrating(tiles), most=self._most)

    def _learn(self, X: Any, network: Lite | Own, **running: Any) -> Iterator[Step | Epoch]:
        """Fits the detector by training over features; see `photo_learning`."""
        self._warn_of_unused(OF_PIXELS, UNLIKE_PIXELS)
        tiles, described, features, scaling = self._photos(X, network)
        spec, options = self._spec_over(described), self._options(batch_size=self._batch_size(len(tiles)), warmup=2)
        count = self._held_out_count(len(tiles.sizes))
        random = torch.Generator().manual_seed(options.seed)
        maps = photo_maps(tiles, described, features, scaling=scaling, held_out=count, random=random)
        device = pick_device(self.device)
        group = join(device)
        model, options = built(spec, options, device, len(maps.training))
        checksum = digest(tiles.contents())
        history: list[Epoch] = []
        training, held_out = (Selection(InMemory(part)) for part in (maps.training, maps.held_out))
        identity = json.dumps([checksum, len(maps.training), repr(spec), repr(options)])
        yield from train(model, training, held_out, options, identity=identity, history=history, group=group, **running)
        model.cpu()
        learned = learned_photos(model, maps, tiles, most=self._most, random=random, choose=self.choose_patches)
        self._settle(learned.scorer, spec, history, chosen(history, options), checksum, artifact.versions())
        self._calibrate(len(tiles.sizes) - count, learned.scores, learned.peaks)
        nearest = nearest_positions(model, maps) if self.keep_examples else None
        if nearest is not None:
            tile, position, distance, space = nearest
            self.examples_ = photo_examples(tiles, tile, position, space, scaling, X, distance)
        self._warn_of_collapse()

    def _spec_over(self, features: AnyFeatureSpec) -> Spec:
        """The network that is trained over features."""
        if self.widths == "paper":
            raise OptionError('widths "paper" is a network for pixels; give numbers, or features="none"')
        widths = WIDTHS if self.widths is None else tuple(self.widths)
        strides = ((1, 1),) * len(widths) if self.strides is None else tuple(tuple(stride) for stride in self.strides)
        memory = self._memory(LEARNED_ITEMS if self.n_items is None else int(self.n_items), per_position=True)
        return Spec(features.shape, widths, strides, memory, features=features)

    def _batch_size(self, samples: int) -> int:
        return min(max(samples // 50, 8), 64) if self.batch_size is None else int(self.batch_size)

    def _prepare(self, X: Any) -> Prepared:
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
        options = self._options(batch_size=self._batch_size(samples), warmup=2)
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


class _Photos(NamedTuple):
    """Photos and what describes them."""

    tiles: Tiles
    spec: AnyFeatureSpec
    features: Features  # not normalised
    scaling: Scaling  # of pixels


def _image_name(root: Path | None, images: Indexed, training: Tensor, index: int) -> str:
    """Names a training image: by its path relative to `root`, or by its number in an array."""
    number = int(training[index])
    if root is None or not isinstance(images, ImageFiles):
        return f"image {number}"
    return within(root, images.paths[number])
