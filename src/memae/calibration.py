"""The former place of `memae.scoring.calibration`, for one release."""

from memae.moved import moved

__getattr__ = moved(__name__, "memae.scoring.calibration")
