"""The former place of `memae.watch.watching`, for one release."""

from memae.moved import moved

__getattr__ = moved(__name__, "memae.watch.watching")
