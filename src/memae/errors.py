"""All errors, as one tree.

Every message names the value, what was expected and what to do::

    MemaeError
    ├── InputError (ValueError)          the data given cannot be used
    │   ├── SourceError                  a file or folder cannot be read
    │   ├── SchemaError                  the data differs from what the model was fitted on
    │   └── CellError (TypeError)        a cell of a table holds neither a number nor text
    ├── OptionError (ValueError)         an option has an invalid value
    │   └── ShrinkageError               no addressing weight can exceed the threshold λ
    ├── GroupError (KeyError)            a group has no model on a shelf
    ├── ModelFileError (ValueError)      not a model file, a damaged one, or one of a newer format
    ├── TrainingError (RuntimeError)     training cannot continue
    ├── OutputError (OSError)            a result cannot be written; an existing file is left unchanged
    ├── ResourceError (MemoryError)      out of memory
    └── MissingExtraError (ImportError)  an optional package is not installed

Warnings are one tree, so that they can be filtered together::

    MemaeWarning (UserWarning)
    └── MemaeNotice                      what was detected or left out, of which nothing need be wrong
"""

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = [
    "CellError",
    "GroupError",
    "InputError",
    "MemaeError",
    "MemaeNotice",
    "MemaeWarning",
    "MissingExtraError",
    "ModelFileError",
    "OptionError",
    "OutputError",
    "ResourceError",
    "SchemaError",
    "ShrinkageError",
    "SourceError",
    "TrainingError",
    "memory_guard",
]


class MemaeError(Exception):
    """Root of all errors that memae raises on purpose."""


def sentence(error: Exception) -> str:
    r"""The message of an error on one line, without the second line that the checks of scikit-learn expect.

    Example:
        >>> sentence(MemaeError("the table has no rows; give some.\nFound array with 0 sample(s)"))
        'the table has no rows; give some'
    """
    return " ".join(str(error).partition(".\n")[0].split())


class InputError(MemaeError, ValueError):
    """The data given cannot be used."""


class SourceError(InputError):
    """A file or folder cannot be read as the kind of data it was given as."""


class SchemaError(InputError):
    """The data differs in form from what the model was fitted on."""


class CellError(InputError, TypeError):
    """A cell of a table holds neither a number nor text; scikit-learn expects a `TypeError`."""


class OptionError(MemaeError, ValueError):
    """An option has an invalid value."""


class ShrinkageError(OptionError):
    """No addressing weight can exceed the shrinkage threshold λ."""


class GroupError(MemaeError, KeyError):
    """A group has no model on a shelf."""

    def __str__(self) -> str:
        """The message; that of a `KeyError` would be in quotes."""
        return Exception.__str__(self)


class ModelFileError(MemaeError, ValueError):
    """Not a model file, a damaged one, or one of a newer format."""


class TrainingError(MemaeError, RuntimeError):
    """Training cannot continue."""


class OutputError(MemaeError, OSError):
    """A result cannot be written; an existing file is left unchanged."""


class ResourceError(MemaeError, MemoryError):
    """Out of memory."""


class MissingExtraError(MemaeError, ImportError):
    """An optional package is not installed."""


class MemaeWarning(UserWarning):
    """Something works, but perhaps not as intended."""


class MemaeNotice(MemaeWarning):
    """Something was detected or left out, as it probably should be."""


@contextmanager
def memory_guard(remedy: str) -> Iterator[None]:
    """Converts out-of-memory errors of Python and torch into a `ResourceError` that names a remedy."""
    try:
        yield
    except ResourceError:
        raise
    except (MemoryError, RuntimeError) as error:
        text = str(error).lower()
        if isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text:
            raise ResourceError(f"out of memory; {remedy}") from error
        raise
