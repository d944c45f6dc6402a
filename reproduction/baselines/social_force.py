"""MPPCA+SFA of Table 2: the social force of crowds beside a mixture of local motion.

Mehran et al., Abnormal Crowd Behavior Detection using Social Force Model, CVPR 2009; added to MPPCA by Mahadevan et
al., Anomaly Detection in Crowded Scenes, CVPR 2010.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter
from sklearn.cluster import KMeans
from sklearn.decomposition import LatentDirichletAllocation

from memae.scoring import Floats
from reproduction.baselines.films import Cells, Film, FilmDetector, FilmScores, each_frame, flow, highest, over_cells
from reproduction.baselines.mppca import MotionMixture

RELAXATION = 0.5
"""τ there: the time in which people adapt to their desired velocity; it weighs one part of the force."""
AVERAGED = (5, 3, 3)
"""Frames, rows and columns over which the flow is averaged."""
CLIP = 10
"""Frames of a clip, which is a document."""
BLOCK = 2
"""Rows and columns of the cells of a volume of force, which is a word: 10 frames long."""
SAMPLED = 20_000
"""Volumes that the vocabulary is made of, at most."""


def forces(film: Film) -> Cells:
    """Magnitude of the interaction force of each cell `(t, rows, columns)`.

    What a particle wants is the flow where it is, and what it does is the average flow around it.
    """
    desired = over_cells(flow(film))
    actual = uniform_filter(desired, (*AVERAGED, 1), mode="nearest")
    change = np.gradient(actual, axis=0) if len(film) > 1 else np.zeros_like(actual)
    force = (desired - actual) / RELAXATION - change
    found: Cells = np.hypot(force[..., 0], force[..., 1])
    return found


def volumes(force: Cells) -> Cells:
    """Volumes of force `(clips, rows, columns, values)`, one row or column apart.

    Frames after the last clip are left out. A film shorter than a clip is continued by its last frame.
    """
    missing = max(CLIP - len(force), 0)
    force = np.concatenate([force, np.repeat(force[-1:], missing, 0)])
    count = len(force) // CLIP
    clips = force[: count * CLIP].reshape(count, CLIP, *force.shape[1:])
    windows = np.lib.stride_tricks.sliding_window_view(clips, (BLOCK, BLOCK), (2, 3))
    found: Cells = np.moveaxis(windows, 1, 3).reshape(*windows.shape[:1], *windows.shape[2:4], -1)
    return found


class SocialForce:
    """How unlikely the volumes of force of a cell are among those of its clip, as documents of words.

    NOTE: forces are those of particles that stay on the grid of cells; there they are carried by the average flow
    through a clip. Words are all volumes, the many without force among them; there only those with a high force. A
    cell's score is the negative log probability of its word under the topics of its clip, times the magnitude of its
    force, and a frame's is the highest of these; there, a clip has one likelihood.

    Args:
        words: of the vocabulary.
        topics: of the latent Dirichlet allocation.
        seed: of both.
    """

    def __init__(self, words: int = 30, topics: int = 10, seed: int = 0) -> None:
        self.words, self.topics, self.seed = words, topics, seed

    def fit(self, training: Sequence[Film], held_out: Sequence[Film], checkpoint: Path | None = None) -> Self:  # noqa: ARG002 (see `FilmDetector`)
        """Learns normal films."""
        seen = [volumes(forces(film)) for film in training]
        rows = np.concatenate([each.reshape(-1, each.shape[-1]) for each in seen])
        chosen = rows[np.random.default_rng(self.seed).permutation(len(rows))[:SAMPLED]]
        self.vocabulary = KMeans(min(self.words, len(chosen)), n_init=1, random_state=self.seed).fit(chosen)
        documents = np.concatenate([self._documents(self._words(each)) for each in seen])
        self.model = LatentDirichletAllocation(self.topics, random_state=self.seed).fit(documents)
        return self

    def anomaly_score(self, film: Film) -> FilmScores:
        """Improbability of each cell's word, times its force; a frame has those of its clip."""
        seen = volumes(forces(film))
        words = self._words(seen)
        topics = self.model.transform(self._documents(words))
        likely = topics @ (self.model.components_ / self.model.components_.sum(1, keepdims=True))
        surprise = -np.log(np.take_along_axis(likely, words.reshape(len(words), -1), 1)).reshape(words.shape)
        maps = (surprise * seen.mean(-1)).astype(np.float32)
        return highest(each_frame(maps, len(film), CLIP))

    def _words(self, seen: Cells) -> NDArray[np.int64]:
        """The word of each volume `(clips, rows, columns)`."""
        return np.asarray(self.vocabulary.predict(seen.reshape(-1, seen.shape[-1])).reshape(seen.shape[:-1]), np.int64)

    def _documents(self, words: NDArray[np.int64]) -> Floats:
        """How often each clip has each word `(clips, words)`."""
        count = self.vocabulary.n_clusters
        return np.stack([np.bincount(each.ravel(), minlength=count) for each in words]).astype(float)


class MotionAndForce:
    """MPPCA and social force, their maps added after each was standardised over the normal films.

    Args:
        seed: of both.
    """

    def __init__(self, seed: int = 0) -> None:
        self.parts: dict[str, FilmDetector] = {"MPPCA": MotionMixture(seed=seed), "SFA": SocialForce(seed=seed)}

    def fit(self, training: Sequence[Film], held_out: Sequence[Film], checkpoint: Path | None = None) -> Self:
        """Learns normal films."""
        self.scales = {}
        for name, part in self.parts.items():
            part.fit(training, held_out, checkpoint)
            normal = np.concatenate([part.anomaly_score(film).maps for film in training])
            self.scales[name] = float(normal.mean()), max(float(normal.std()), 1e-9)
        return self

    def anomaly_score(self, film: Film) -> FilmScores:
        """The sum of both maps; scores of each part by name."""
        each = {name: part.anomaly_score(film) for name, part in self.parts.items()}
        maps = [(found.maps - self.scales[name][0]) / self.scales[name][1] for name, found in each.items()]
        rows, columns = (min(each.shape[axis] for each in maps) for axis in (1, 2))
        whole = highest(sum((part[:, :rows, :columns] for part in maps[1:]), maps[0][:, :rows, :columns]))
        return whole._replace(parts={name: found.score for name, found in each.items()})
