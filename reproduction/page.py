"""Renders docs/reproduce.md from the recorded runs: a section for each table and figure of the paper."""

import sys

from recording import records
from reproduction import figures
from reproduction.table1 import page as table1
from reproduction.table2 import page as table2
from reproduction.table3 import page as table3

PAGE = records.ROOT / "docs" / "reproduce.md"


def render() -> None:
    """Writes the page, its pictures and the summary."""
    lines = [
        "# The paper's figures, reproduced",
        "",
        "Rendered by `python -m reproduction table1`, `table2`, `table3` and `figures` from `benchmarks/results/runs`, "
        "where each run has its seed, commit, versions, machine and seconds.",
        "",
        "To run it again, in the repository's folder: `pip install -e '.[bench]'`. Set the environment variable "
        "`MEMAE_DATA` to the folder of the data sets; `python -m reproduction fetch mnist cifar10` downloads two of "
        "them, and the error for a missing one says where to get it. Then run for instance `python -m reproduction "
        "table1 --dataset mnist --methods ae --classes 1`. A recorded run is not repeated: delete its record first. "
        "Each command renders this page again. `python -m reproduction figures --only N`, with N from 3 to 7, makes a "
        "single figure.",
        "",
        "`python -m reproduction evaluate-video errors.npy --dataset ped2` (or ped1, avenue, shanghaitech) evaluates "
        "the frame errors of any other model under the same protocols, and says what each means. `python -m "
        "reproduction doctor ped2` says what is missing, unreadable or mislabelled in a video set.",
        "",
        "*Ours* is the estimator without options. It goes beyond the paper's method ([method.md](method.md#scores)); "
        "the paper's methods are never scored as ours is, except where a row says so.",
        "",
        *table1.section(),
        "",
        *table2.section(),
        "",
        *table3.section(),
        "",
        *figures.section(),
    ]
    records.summarise()
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    sys.stderr.write(f"{PAGE} is rendered\n")
