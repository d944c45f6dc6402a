"""Alias of `memae.scoring.drift`, for one release."""

from memae.scoring.drift import *  # noqa: F403
