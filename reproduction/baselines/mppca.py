"""MPPCA of Table 2: a mixture of probabilistic PCA of local motion, and a Markov random field in space and time.

Kim and Grauman, Observe Locally, Infer Globally: a Space-Time MRF for Detecting Abnormal Activities with Incremental
Updates, CVPR 2009.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp
from sklearn.cluster import KMeans

from memae.scoring import Floats
from reproduction.baselines.films import Cells, Film, FilmScores, each_frame, flow, highest, over_cells, over_time

DIRECTIONS = 8
LENGTH = 5
"""Frames of a stretch, the unit of time of the random field."""
SAMPLED = 60_000
"""Motions that the mixture is fitted to, at most."""
ITERATIONS = 30
"""Of EM, and of belief propagation."""
LEAST_NOISE = 1e-4
"""Variance of the noise at least: most cells of a static camera carry no motion."""
ABNORMAL = 1e-3
"""Share of the normal motions that are less likely at their cell than "abnormal" is."""
AGREEMENT = (0.1, 0.9)
"""Limits of the potential of two normal neighbours."""


def motions(film: Film) -> Cells:
    """Magnitude of flow in each direction, mean over a cell and a stretch `(stretches, rows, columns, directions)`."""
    moved = flow(film)
    length = np.hypot(moved[..., 0], moved[..., 1])
    towards = np.floor((np.arctan2(moved[..., 1], moved[..., 0]) / (2 * np.pi) % 1) * DIRECTIONS + 0.5) % DIRECTIONS
    each = [over_time(over_cells(np.where(towards == way, length, 0)), LENGTH) for way in range(DIRECTIONS)]
    return np.stack(each, -1)


class Mixture(NamedTuple):
    """A mixture of k probabilistic PCA models of d-dimensional vectors."""

    weights: Floats  # (k,)
    means: Floats  # (k, d)
    covariances: Floats  # (k, d, d): W Wᵀ + σ² I

    def log_likelihoods(self, rows: NDArray[np.float32]) -> Floats:
        """Of each row `(n, d)` under each component, less its weight `(n, k)`."""
        each = [_log_normal(rows - mean, of) for mean, of in zip(self.means, self.covariances, strict=True)]
        return np.stack(each, 1)


def _log_normal(apart: Floats, covariance: Floats) -> Floats:
    whitened = np.linalg.solve(np.linalg.cholesky(covariance), apart.T)
    _, size = np.linalg.slogdet(2 * np.pi * covariance)
    return np.asarray(-0.5 * (np.square(whitened).sum(0) + size))


def fitted(rows: NDArray[np.float32], count: int, latent: int, seed: int) -> Mixture:
    """A mixture of `count` components of so many latent dimensions, by EM from k-means (Tipping and Bishop, 1999)."""
    labels = KMeans(count, n_init=1, random_state=seed).fit_predict(rows)
    shares = np.eye(count)[labels]
    for _ in range(ITERATIONS):
        mixture = _maximised(rows, shares, latent)
        joint = mixture.log_likelihoods(rows) + np.log(mixture.weights)
        shares = np.exp(joint - logsumexp(joint, axis=1, keepdims=True))
    return _maximised(rows, shares, latent)


def _maximised(rows: NDArray[np.float32], shares: Floats, latent: int) -> Mixture:
    """The M step: responsibilities `(n, k)` → the mixture."""
    sizes = shares.sum(0) + 1e-9
    means = shares.T @ rows / sizes[:, None]
    covariances = []
    for share, size, mean in zip(shares.T, sizes, means, strict=True):
        apart = rows - mean
        covariances.append(_of_ppca((apart * share[:, None]).T @ apart / size, latent))
    return Mixture(sizes / sizes.sum(), means, np.stack(covariances))


def _of_ppca(covariance: Floats, latent: int) -> Floats:
    """The covariance of the most likely PPCA model: all but the first `latent` variances become their mean."""
    values, vectors = np.linalg.eigh(covariance)
    noise = max(float(values[:-latent].mean()), LEAST_NOISE)
    values = np.concatenate([np.full(len(values) - latent, noise), np.maximum(values[-latent:], noise)])
    return np.asarray((vectors * values) @ vectors.T)


class MotionMixture:
    """How unlikely the motion of each cell is, given what was seen there and what its neighbours do.

    A node of the random field is a cell in a stretch of frames. Its potential is the likelihood of its motion under
    the mixture, components weighted by how often each was seen in that cell. Two neighbours are the rather both normal,
    the more often their components were seen together there. Loopy belief propagation gives log odds of "abnormal".

    NOTE: flow by OpenCV. The mixture is fitted once: there it and the histograms follow the test video. "Abnormal" has
    one likelihood everywhere, that of which one normal motion in a thousand falls short. Beliefs are sums over
    labels, not the best labelling, so that frames can be ranked; the score of a frame is its most abnormal node's.

    Args:
        components: of the mixture.
        latent: dimensions of each component.
        seed: of k-means, and of the sample of motions.
    """

    def __init__(self, components: int = 12, latent: int = 3, seed: int = 0) -> None:
        self.components, self.latent, self.seed = components, latent, seed

    def fit(self, training: Sequence[Film], held_out: Sequence[Film], checkpoint: Path | None = None) -> Self:  # noqa: ARG002 (see `FilmDetector`)
        """Learns normal films."""
        seen = [motions(film) for film in training]
        rows = np.concatenate([each.reshape(-1, DIRECTIONS) for each in seen])
        random = np.random.default_rng(self.seed)
        chosen = rows[random.permutation(len(rows))[:SAMPLED]]
        self.mixture = fitted(chosen, self.components, self.latent, self.seed)
        shares = [self._shares(each) for each in seen]
        total = sum((each.sum(0) for each in shares), np.ones(shares[0].shape[1:]) / self.components)
        self.frequencies = total / total.sum(-1, keepdims=True)
        self.together = tuple(_co_occurrence(shares, axis) for axis in range(3))
        self.abnormal = float(np.quantile(np.concatenate([self._normal(each).ravel() for each in seen]), ABNORMAL))
        return self

    def anomaly_score(self, film: Film) -> FilmScores:
        """Log odds of "abnormal" of each cell; a frame has those of its stretch."""
        seen = motions(film)
        odds = believed(self._normal(seen) - self.abnormal, self._pairs(seen))
        return highest(each_frame(-odds.astype(np.float32), len(film), LENGTH))

    def _shares(self, seen: Cells) -> Floats:
        """Responsibility of each component for each motion `(stretches, rows, columns, k)`."""
        joint = self._likelihoods(seen) + np.log(self.mixture.weights)
        return np.asarray(np.exp(joint - logsumexp(joint, axis=-1, keepdims=True)))

    def _normal(self, seen: Cells) -> Floats:
        """Log likelihood of each motion where it is `(stretches, rows, columns)`."""
        return np.asarray(logsumexp(self._likelihoods(seen) + np.log(self.frequencies), axis=-1))

    def _likelihoods(self, seen: Cells) -> Floats:
        rows = seen.reshape(-1, DIRECTIONS)
        return self.mixture.log_likelihoods(rows).reshape(*seen.shape[:-1], -1)

    def _pairs(self, seen: Cells) -> list[Floats]:
        """For each axis, the potential of "both normal" of each node and the next one along it."""
        best = self._shares(seen).argmax(-1)
        found = []
        for axis, together in enumerate(self.together):
            one, other = _neighbours(best, axis)
            rows, columns = np.indices(one.shape[1:])
            found.append(np.clip(together[rows, columns, one, other], *AGREEMENT))
        return found


def _neighbours(values: NDArray, axis: int) -> tuple[NDArray, NDArray]:  # type: ignore[type-arg]
    """All values but the last along an axis, and all but the first."""
    count = values.shape[axis]
    return values.take(range(count - 1), axis), values.take(range(1, count), axis)


def _co_occurrence(shares: Sequence[Floats], axis: int) -> Floats:
    """How often components of neighbours along an axis occur together, given the more frequent one, by cell.

    Args:
        shares: responsibilities of each film `(stretches, rows, columns, k)`.
        axis: 0 for time, 1 for rows, 2 for columns.

    Returns:
        `(rows, columns, k, k)`, for each cell that has a next one along the axis.
    """
    pairs = [_neighbours(each, axis) for each in shares]
    both = sum(np.einsum("trck,trcl->rckl", one, other) for one, other in pairs)
    first = sum(one.sum(0) for one, _ in pairs)
    second = sum(other.sum(0) for _, other in pairs)
    rarer = np.minimum(first[..., :, None], second[..., None, :])
    return np.asarray(both / (rarer + 1.0))


def believed(odds: Floats, normal: Sequence[Floats]) -> Floats:
    """Log odds of "normal" of each node of a grid, by loopy belief propagation.

    Args:
        odds: those of each node alone `(t, rows, columns)`.
        normal: for each axis, the potential of two neighbours along it that are both normal, in (0, 1); that of two
            abnormal ones is one minus it, and that of two unequal ones 1/2.
    """
    forward, backward = ([np.zeros_like(each) for each in normal] for _ in range(2))
    for _ in range(ITERATIONS):
        belief = _sum(odds, forward, backward)
        for axis, agree in enumerate(normal):
            one, other = _neighbours(belief, axis)
            ahead, back = forward[axis], backward[axis]
            forward[axis] = 0.5 * (ahead + _message(one - back, agree))  # damped, so that loops settle
            backward[axis] = 0.5 * (back + _message(other - ahead, agree))
    return _sum(odds, forward, backward)


def _message(odds: Floats, agree: Floats) -> Floats:
    """Log odds that a node with these odds passes on, without those it had from there."""
    both, neither, unequal = np.log(agree), np.log(1 - agree), np.log(0.5)
    return np.asarray(np.logaddexp(odds + both, unequal) - np.logaddexp(odds + unequal, neither))


def _sum(odds: Floats, forward: Sequence[Floats], backward: Sequence[Floats]) -> Floats:
    """Own log odds and all messages."""
    total = odds.copy()
    for axis, (ahead, back) in enumerate(zip(forward, backward, strict=True)):
        before, after = [(0, 0)] * 3, [(0, 0)] * 3
        before[axis], after[axis] = (1, 0), (0, 1)
        total += np.pad(ahead, before) + np.pad(back, after)
    return total
