"""The systems that Table 2 of the paper quotes, as methods: one file each among the baselines."""

from collections.abc import Callable

from reproduction.baselines.amdn import AppearanceAndMotion
from reproduction.baselines.films import FilmDetector
from reproduction.baselines.frame_pred import FramePrediction
from reproduction.baselines.mdt import DynamicTextures
from reproduction.baselines.mppca import MotionMixture
from reproduction.baselines.mt_frcn import ObjectDensity
from reproduction.baselines.social_force import MotionAndForce
from reproduction.baselines.stack_rnn import StackedRNN
from reproduction.baselines.tsc import SparseCoding
from reproduction.baselines.unmasking import Unmasking
from reproduction.table2.runs import Problem, of_films
from reproduction.tables import Method, Run

FRAMES = "frames"
"""Name of a published figure: frame AUC on Ped2 in Table 2 of the paper."""


def _system(key: str, title: str, make: Callable[[int], FilmDetector], published: float) -> Method[Problem, Run]:
    """A system at the size for two cores, one seed."""
    return Method(key, title, of_films(make), {"cpu": 1}, {FRAMES: published}, figure=key)


SYSTEMS = (
    _system("mppca", "MPPCA", lambda seed: MotionMixture(seed=seed), 0.693),
    _system("mppca_sfa", "MPPCA+SFA", lambda seed: MotionAndForce(seed=seed), 0.613),
    _system("mdt", "MDT", lambda seed: DynamicTextures(seed=seed), 0.829),
    _system("amdn", "AMDN", lambda seed: AppearanceAndMotion(seed=seed), 0.908),
    _system("unmasking", "Unmasking", lambda _: Unmasking(), 0.822),
    _system("mt_frcn", "MT-FRCN", lambda seed: ObjectDensity(seed=seed), 0.922),
    _system("frame_pred", "Frame-Pred", lambda seed: FramePrediction(seed=seed), 0.954),
    _system("tsc", "TSC", lambda seed: SparseCoding(seed=seed), 0.910),
    _system("stack_rnn", "StackRNN", lambda seed: StackedRNN(seed=seed), 0.922),
)
"""In the order of the table."""
