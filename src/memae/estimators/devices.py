"""The device to train on."""

import torch

from memae.errors import OptionError


def pick_device(name: str) -> torch.device:
    """The device called `name`; "auto" takes CUDA, then MPS, then the CPU.

    Raises:
        OptionError: the device is unknown, or not on this machine.
    """
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device("cuda" if available["cuda"] else "mps" if available["mps"] else "cpu")
    if not available.get(name, False):
        usable = ", ".join(device for device, is_there in available.items() if is_there)
        raise OptionError(f"device {name!r} is not available here; use auto or one of: {usable}")
    return torch.device(name)
