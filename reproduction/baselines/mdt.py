"""MDT of Table 2: mixtures of dynamic textures, surprising in time or in their surround.

Mahadevan et al., Anomaly Detection in Crowded Scenes, CVPR 2010. Dynamic textures, and their learning by singular
vectors: Doretto et al., Dynamic Textures, IJCV 2003; mixtures: Chan and Vasconcelos, PAMI 2008.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter
from scipy.special import logsumexp

from memae.scoring import Floats
from reproduction.baselines.films import Film, FilmScores, each_frame, highest

SIDE = 13
LENGTH = 15
"""Height and width, and frames, of a patch: those of Mahadevan et al. for Ped2."""
STRIDE = 10
"""Pixels from one patch to the next."""
PACE = 5
"""Frames from one patch to the next at the same place."""
SAMPLED = 3_000
"""Patches that a mixture is fitted to, at most."""
ITERATIONS = 8
"""Of assigning patches to textures and learning the textures anew."""
STATES = 8
"""Dimensions of the state of a texture."""
LEAST_NOISE = 4.0
"""Variance of the noise at least, in squared grey levels: that of a copy in JPEG."""
FEWEST = 20
"""Patches that a texture is learned from, at least."""
SURROUND = 7
"""Side of a surround, in patches; its centre is the patch itself and those beside it."""

Patches = NDArray[np.float32]
"""Patches `(n, frames, pixels)` in grey levels."""


def windows(film: Film) -> NDArray[np.uint8]:
    """A view of all patches of a film `(t, rows, columns, frames, side, side)`.

    A film shorter than a patch is continued by its last frame.
    """
    film = np.concatenate([film, np.repeat(film[-1:], max(LENGTH - len(film), 0), 0)])
    side = min(SIDE, *film.shape[1:])
    return np.lib.stride_tricks.sliding_window_view(film, (LENGTH, side, side))[::PACE, ::STRIDE, ::STRIDE]


def taken(view: NDArray[np.uint8]) -> Patches:
    """The patches `(n, frames, pixels)` of a view `(…, frames, side, side)`."""
    return view.reshape(-1, view.shape[-3], view.shape[-2] * view.shape[-1]).astype(np.float32)


class Texture(NamedTuple):
    """A dynamic texture: x' = A x + v, y = C x + mean + w, with v ~ N(0, Q) and w ~ N(0, r I).

    The columns of C are orthonormal, so Cᵀ (y − mean) has all that a frame says about the state.
    """

    mean: Floats  # (pixels,)
    shown: Floats  # C, (pixels, states)
    step: Floats  # A, (states, states)
    drift: Floats  # Q, (states, states)
    noise: float  # r
    first: tuple[Floats, Floats]  # mean and covariance of the first state

    def log_likelihoods(self, given: Patches) -> Floats:
        """Of each patch `(n,)`, by the Kalman filter in the space of states."""
        apart = given - self.mean.astype(np.float32)
        seen = (apart @ self.shown.astype(np.float32)).astype(np.float64)
        beside = np.square(apart).sum((1, 2), dtype=np.float64) - np.square(seen).sum((1, 2))
        pixels, states = self.shown.shape
        dimensions = given.shape[1] * (pixels - states)
        total = -0.5 * (beside / self.noise + dimensions * np.log(2 * np.pi * self.noise))
        state, covariance = np.broadcast_to(self.first[0], (len(given), states)), self.first[1]
        for frame in range(given.shape[1]):
            innovation = covariance + self.noise * np.eye(states)
            off = seen[:, frame] - state
            gained = np.linalg.solve(innovation, off.T).T
            total += -0.5 * ((off * gained).sum(1) + np.linalg.slogdet(2 * np.pi * innovation)[1])
            state = (state + gained @ covariance) @ self.step.T
            covariance = covariance - covariance @ np.linalg.solve(innovation, covariance)
            covariance = self.step @ covariance @ self.step.T + self.drift
        return np.asarray(total)


def texture(given: Patches) -> Texture:
    """The texture of patches `(n, frames, pixels)`, by the singular vectors of their frames."""
    mean = given.mean((0, 1), dtype=np.float64)
    frames = (given - mean.astype(np.float32)).reshape(-1, given.shape[2])
    _, vectors = np.linalg.eigh((frames.T @ frames).astype(np.float64))
    shown = vectors[:, -min(STATES, given.shape[2] - 1) :]
    states = (frames @ shown.astype(np.float32)).reshape(len(given), -1, shown.shape[1]).astype(np.float64)
    beside = np.square(frames).sum(dtype=np.float64) - np.square(states).sum()
    noise = max(float(beside) / (len(frames) * (given.shape[2] - shown.shape[1])), LEAST_NOISE)
    before, after = (part.reshape(-1, shown.shape[1]) for part in (states[:, :-1], states[:, 1:]))
    floor = noise * np.eye(shown.shape[1])
    step = np.linalg.solve(before.T @ before + floor, before.T @ after).T
    left = after - before @ step.T
    begin = states[:, 0]
    spread = np.cov(begin.T).reshape(floor.shape) + floor
    return Texture(mean, shown, step, left.T @ left / len(left) + floor, noise, (begin.mean(0), spread))


class Mixture(NamedTuple):
    """A mixture of dynamic textures."""

    weights: Floats  # (k,)
    textures: list[Texture]

    def joint(self, given: Patches) -> Floats:
        """Log of weight times likelihood of each texture for each patch `(n, k)`."""
        return np.stack([each.log_likelihoods(given) for each in self.textures], 1) + np.log(self.weights)


def fitted(given: Patches, count: int, seed: int) -> Mixture:
    """A mixture of at most `count` textures, by hard EM from groups of equal contrast."""
    order = np.argsort(given.std((1, 2)))
    labels = np.empty(len(given), int)
    labels[order] = np.arange(len(given)) * count // len(given)
    random = np.random.default_rng(seed)
    for _ in range(ITERATIONS):
        groups = [np.flatnonzero(labels == group) for group in range(count)]
        groups = [group for group in groups if len(group) >= FEWEST] or [np.arange(len(given))]
        learned = [texture(given[random.permutation(group)[:1000]]) for group in groups]
        mixture = Mixture(np.array([len(group) for group in groups]) / sum(map(len, groups)), learned)
        labels = mixture.joint(given).argmax(1)
    return mixture


class DynamicTextures:
    """How unlikely each patch is under a mixture of textures of its region, and how unlike those around it.

    In time: the negative log likelihood of a patch under the mixture of its region. In space: how much is known about
    whether a patch lies in the centre or the surround of a window, once its texture is known (discriminant saliency),
    with one mixture for the whole frame. The sum of both, standardised over normal films.

    NOTE: textures are learned from singular vectors and patches assigned to the most likely one; there by EM. Regions
    are a coarse grid. The mixture of the surround is learned once from normal films; there from the frame itself.

    Args:
        regions: rows and columns of regions.
        count: textures of a region.
        whole: textures of the frame.
        seed: of the sample of patches.
    """

    def __init__(self, regions: tuple[int, int] = (4, 5), count: int = 5, whole: int = 12, seed: int = 0) -> None:
        self.regions, self.count, self.whole, self.seed = regions, count, whole, seed

    def fit(self, training: Sequence[Film], held_out: Sequence[Film], checkpoint: Path | None = None) -> Self:  # noqa: ARG002 (see `FilmDetector`)
        """Learns normal films."""
        random = np.random.default_rng(self.seed)
        views = [windows(film) for film in training]
        share = -(-SAMPLED // len(views))
        kept = []
        for places in self._regions(views[0]):
            drawn = [_sampled(view[:, *places], share, random) for view in views]
            kept.append(np.concatenate(drawn))
        self.local = [fitted(each, self.count, self.seed) for each in kept]
        everywhere = np.concatenate([each[:: len(kept) // 2 + 1] for each in kept])
        self.everywhere = fitted(everywhere, self.whole, self.seed)
        normal = [self._maps(view) for view in views[:: max(len(views) // 4, 1)]]
        together = [np.concatenate([each.ravel() for each in part]) for part in zip(*normal, strict=True)]
        self.scales = [(float(each.mean()), max(float(each.std()), 1e-9)) for each in together]
        return self

    def anomaly_score(self, film: Film) -> FilmScores:
        """Scores of the patches; a frame has those of the patches centred around it."""
        parts = [
            ((each - mean) / spread).astype(np.float32)
            for each, (mean, spread) in zip(self._maps(windows(film)), self.scales, strict=True)
        ]
        early = LENGTH // 2  # a patch is centred so many frames after its first
        spread_out = [np.concatenate([part[:1].repeat(early, 0), each_frame(part, len(film), PACE)]) for part in parts]
        temporal, spatial = (each[: len(film)] for each in spread_out)
        names = {"temporal": highest(temporal).score, "spatial": highest(spatial).score}
        return highest(temporal + spatial)._replace(parts=names)

    def _regions(self, view: NDArray[np.uint8]) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Rows and columns of the patches of each region, as indices of a view's second and third axis."""
        for rows in np.array_split(np.arange(view.shape[1]), min(self.regions[0], view.shape[1])):
            for columns in np.array_split(np.arange(view.shape[2]), min(self.regions[1], view.shape[2])):
                yield rows[:, None], columns[None]

    def _maps(self, view: NDArray[np.uint8]) -> tuple[Floats, Floats]:
        """Abnormality in time and in space of the patches of a film, both `(t, rows, columns)`."""
        grid = view.shape[:3]
        temporal, shares = np.empty(grid), np.empty((*grid, len(self.everywhere.textures)))
        for places, mixture in zip(self._regions(view), self.local, strict=True):
            part = view[:, *places]
            given = taken(part)
            temporal[:, *places] = -logsumexp(mixture.joint(given), axis=1).reshape(part.shape[:3])
            joint = self.everywhere.joint(given)
            likely = np.exp(joint - logsumexp(joint, axis=1, keepdims=True))
            shares[:, *places] = likely.reshape(*part.shape[:3], -1)
        return temporal, saliency(shares)


def _sampled(view: NDArray[np.uint8], count: int, random: np.random.Generator) -> Patches:
    """At most `count` patches of a view `(t, rows, columns, frames, side, side)`."""
    flat = view.reshape(-1, *view.shape[3:])
    return taken(flat[random.permutation(len(flat))[:count]])


def saliency(shares: Floats) -> Floats:
    """Mutual information of a patch's texture and whether it is in the centre of a window or its surround, in nats.

    Args:
        shares: probability of each texture at each position `(t, rows, columns, k)`.
    """
    around = uniform_filter(shares, (1, SURROUND, SURROUND, 1), mode="nearest")
    centre = uniform_filter(shares, (1, 3, 3, 1), mode="nearest")
    part = 9 / SURROUND**2
    rest = np.maximum((around - part * centre) / (1 - part), 0)
    known = part * _entropy(centre) + (1 - part) * _entropy(rest)
    return np.maximum(_entropy(around) - known, 0)


def _entropy(shares: Floats) -> Floats:
    return np.asarray(-(shares * np.log(np.maximum(shares, 1e-12))).sum(-1))
