"""Hostile files by the hundred thousand, in watched processes: no crash, no hang, no memory beyond a limit."""

import argparse

INPUTS = 100_000
TARGETS = {"fuzz/inputs": ("≥", INPUTS), "fuzz/failures": ("≤", 0)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `python -m measurements fuzz`."""
    parser.add_argument("--inputs", type=int, default=INPUTS, help="of all formats together")
    parser.add_argument("--seed", type=int, default=0, help="another one gives other inputs")
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time, a core each")
    parser.add_argument("--only", nargs="+", metavar="FORMAT", help="some formats, not recorded")
    parser.add_argument("--render", action="store_true", help="try nothing, only write docs/trust.md once more")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Tries the inputs, records what was found, and renders the page."""
    from benchmarks import records, trust_page  # noqa: PLC0415 (the parser needs none of it)
    from measurements.fuzz import campaign  # noqa: PLC0415

    if not arguments.render:
        found = campaign.run(arguments.inputs, arguments.seed, arguments.jobs, arguments.only)
        if arguments.only:
            return
        records.save("fuzz", "fuzz", found, arguments.seed)
    trust_page.render()
