"""Kinds of data: the only room above readers and networks that distinguishes tables, images and video."""

from memae.kinds.images import Images
from memae.kinds.kind import Kind, Labelled, Notes, Part, Scored, Words
from memae.kinds.tables import Tables
from memae.kinds.videos import Videos

__all__ = ["Images", "Kind", "Labelled", "Notes", "Part", "Scored", "Tables", "Videos", "Words"]
