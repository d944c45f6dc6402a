"""The state of a training, and the checkpoint file to resume it from."""

import json
import math
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save as serialise
from torch import Tensor

from memae.errors import TrainingError
from memae.files import replacing
from memae.health import HealthMeter
from memae.model import MemAE
from memae.options import Epoch, Options, epoch_as_json, epoch_from_json


class Run:
    """The complete state of a training: exactly what a checkpoint stores."""

    def __init__(self, model: MemAE, options: Options, identity: str, history: list[Epoch], processes: int = 1) -> None:
        self.model = model
        self.processes = processes
        self.identity = identity
        self.history = history
        self.adam = torch.optim.Adam(model.parameters(), lr=options.learning_rate, fused=True)
        self.best: dict[str, Tensor] = {}
        self.best_error = math.inf
        self.step = 0
        self.seconds = 0.0
        self.start_epoch()

    def start_epoch(self) -> None:
        """Resets the sums of the epoch."""
        memory = self.model.memory
        self.step = 0
        self.seconds = 0.0
        self.sums = torch.zeros(4, dtype=torch.float64)  # samples, loss, error, entropy
        self.meter = HealthMeter(len(memory.items)) if memory is not None else None

    def tensors(self) -> dict[str, Tensor]:
        """All tensors of the state, by name, on the CPU."""
        state = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        state |= {f"best.{name}": value for name, value in self.best.items()}
        for number, values in self.adam.state_dict()["state"].items():
            state |= {f"adam.{number}.{name}": value for name, value in values.items()}
        state["sums"] = self.sums
        if self.meter is not None:
            state |= {"meter.use": self.meter.use, "meter.sums": self.meter.sums}
        return {name: value.detach().cpu().contiguous() for name, value in state.items()}

    def save(self, path: Path) -> None:
        """Writes a checkpoint, whole or not at all."""
        header = {
            "identity": self.identity,
            "processes": self.processes,
            "history": [epoch_as_json(epoch) for epoch in self.history],
            "best_error": self.best_error,
            "step": self.step,
            "seconds": self.seconds,
        }
        content = serialise(self.tensors(), {"memae.checkpoint": json.dumps(header)})
        with replacing(path) as temporary:
            temporary.write_bytes(content)

    def load(self, path: Path) -> None:
        """Restores the state of a checkpoint.

        Raises:
            TrainingError: the file is not a checkpoint, is damaged, or was written for other data or options, or by
                another number of processes.
        """
        try:
            with safe_open(path, "pt") as file:
                header = json.loads((file.metadata() or {})["memae.checkpoint"])
                state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            same, processes = header["identity"] == self.identity, int(header.get("processes", 1))
            if same and processes == self.processes:
                self._restore(header, state)
        except MemoryError:
            raise
        except Exception as error:  # a file can be wrong in any way
            raise TrainingError(f"{path} is not a readable checkpoint ({error}); delete it and train again") from error
        if not same:
            raise TrainingError(f"{path} was written for other data or options; use those, or delete it and retrain")
        if processes != self.processes:
            raise TrainingError(
                f"{path} was written by {processes} process{'es' * (processes > 1)}, and this is a training by "
                f"{self.processes}; start as many as before, or delete it and retrain"
            )

    def _restore(self, header: dict[str, Any], state: dict[str, Tensor]) -> None:
        self.model.load_state_dict(_under("model.", state))
        self.best = _under("best.", state)
        self._load_adam(_under("adam.", state))
        self.history[:] = [epoch_from_json(epoch) for epoch in header["history"]]
        self.best_error, self.step, self.seconds = header["best_error"], header["step"], header["seconds"]
        self.sums = state["sums"]
        if self.meter is not None:
            self.meter.use, self.meter.sums = state["meter.use"], state["meter.sums"]

    def _load_adam(self, flat: dict[str, Tensor]) -> None:
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in flat.items():
            number, key = name.split(".")
            moments.setdefault(int(number), {})[key] = value
        for index, parameter in enumerate(self.adam.param_groups[0]["params"]):
            for key, value in moments.get(index, {}).items():
                if value.shape == parameter.shape:  # the fused step needs the memory layout of the parameter
                    moments[index][key] = torch.empty_like(parameter).copy_(value)
        self.adam.load_state_dict(self.adam.state_dict() | {"state": moments})


def _under(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
