"""Kinds of data: the only place above the readers and networks that knows which one it is."""

from memae.kinds.images import Images
from memae.kinds.kind import Kind, Labelled, Notes, Part, Scored, Words
from memae.kinds.tables import Tables
from memae.kinds.videos import Videos

__all__ = ["Images", "Kind", "Labelled", "Notes", "Part", "Scored", "Tables", "Videos", "Words"]
