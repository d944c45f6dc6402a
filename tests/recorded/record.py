"""Records what the cases give: `python -m tests.recorded.record [name …]`, all of them without names.

Only for a change that is meant to alter scores; whoever runs it says why in the commit. Model files that are there stay
as they are, since they stand for those that users have: only missing ones are written,
and only of the present format.
"""

import sys

import torch
from tests.recorded import reading, storage
from tests.recorded.cases import CASES, STORED


def main(names: list[str]) -> None:
    """Writes the results of these cases and model files, and the model files that are missing."""
    torch.set_num_threads(1)
    for name, case in CASES.items():
        if not names or name in names:
            data = case.data()
            storage.write(name, reading.results(case, reading.fit(case, data.normal), data))
    for name, stored in STORED.items():
        case, path = CASES[stored.case], storage.FOLDER / f"{name}.memae"
        data = case.data()
        if not path.exists() and reading.writes(name):
            reading.save(reading.fit(case, data.normal).detector, path)
        if not names or name in names:
            storage.write(name, reading.of_file(case.kind, reading.load(path), data.seen))


if __name__ == "__main__":
    main(sys.argv[1:])
