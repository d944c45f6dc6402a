"""A task that kills its process; it imports nothing heavy, since each process imports it anew."""

import os
import signal
import warnings
from dataclasses import dataclass
from pathlib import Path

from memae.errors import MemaeWarning, SourceError


@dataclass(frozen=True)
class Work:
    """Squares numbers; number 3 kills its process as often as told."""

    folder: Path
    deaths: int

    def __call__(self, number: int) -> int:
        if number == 3:
            died = len(list(self.folder.glob("died-*")))
            if died < self.deaths:
                (self.folder / f"died-{died}-{os.getpid()}").touch()
                os.kill(os.getpid(), signal.SIGKILL)
        if number == 5:
            raise SourceError("number 5 is cut")
        if number == 6:
            warnings.warn("6 is odd", MemaeWarning, stacklevel=2)
        assert os.environ["OMP_NUM_THREADS"] == "1"
        return number**2
