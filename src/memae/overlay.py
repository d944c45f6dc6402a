"""The former place of `memae.watch.overlay`, for one release."""

from memae.moved import moved

__getattr__ = moved(__name__, "memae.watch.overlay")
