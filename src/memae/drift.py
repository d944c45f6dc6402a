"""The former place of `memae.scoring.drift`, for one release."""

from memae.moved import moved

__getattr__ = moved(__name__, "memae.scoring.drift")
