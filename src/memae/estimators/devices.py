"""Where to train."""

import torch

from memae.errors import OptionError


def pick_device(name: str) -> torch.device:
    """The device that `name` means; "auto" takes CUDA, then MPS, then the CPU.

    Raises:
        OptionError: unknown, or not on this machine.
    """
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device("cuda" if there["cuda"] else "mps" if there["mps"] else "cpu")
    if not there.get(name, False):
        usable = ", ".join(device for device, found in there.items() if found)
        raise OptionError(f"device {name!r} is not available here; use auto or one of: {usable}")
    return torch.device(name)
