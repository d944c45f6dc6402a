"""Renders docs/reproduce.md from the runs that were recorded: a section a table and figure of the paper."""

from benchmarks import figures, records
from benchmarks.table1 import page as table1
from benchmarks.table2 import page as table2
from benchmarks.table3 import page as table3

PAGE = records.ROOT / "docs" / "reproduce.md"


def render() -> None:
    """Writes the page, its pictures and the summary."""
    lines = [
        "# The paper's figures, reproduced",
        "",
        "Rendered by `python -m benchmarks table1`, `table2`, `table3` and `figures` from `benchmarks/results/runs`, "
        "where each run has its seed, commit, versions, machine and seconds.",
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
