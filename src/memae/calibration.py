"""Alias of `memae.scoring.calibration`, for one release."""

from memae.scoring.calibration import *  # noqa: F403
