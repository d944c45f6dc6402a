"""Runs one part: `python -m benchmarks table1`, or another that `python -m benchmarks --help` names."""

import argparse

from benchmarks import (
    adbench,
    calibration,
    datasets,
    doctor,
    evaluate_video,
    figures,
    fuzz,
    parity,
    service,
    speed,
    table1,
    table2,
    table3,
)
from memae.errors import MemaeError


def main() -> None:
    """Parses the command line and runs."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parts = parser.add_subparsers(required=True, metavar="PART")
    speed.add_arguments(parts.add_parser("speed", help="cost of everything, beside its peers"))
    service.add_arguments(parts.add_parser("service", help="the service under load"))
    table1.add_arguments(parts.add_parser("table1", help="the paper's Table 1: images"))
    table2.add_arguments(parts.add_parser("table2", help="the paper's Tables 2 and 4: frames of Ped2"))
    table3.add_arguments(parts.add_parser("table3", help="the paper's Table 3: KDDCUP"))
    figures.add_arguments(parts.add_parser("figures", help="the paper's Figures 3 to 7"))
    adbench.add_arguments(parts.add_parser("adbench", help="tables of ADBench, beside PyOD's detectors"))
    calibration.add_arguments(parts.add_parser("calibration", help="false-alarm rates: promised and realised"))
    parity.add_arguments(parts.add_parser("parity", help="the same samples through every surface"))
    fuzz.add_arguments(parts.add_parser("fuzz", help="hostile files of every format"))
    evaluate_video.add_arguments(parts.add_parser("evaluate-video", help="frame errors of videos, of any model"))
    datasets.add_arguments(parts.add_parser("fetch", help="download a data set from where it is published"))
    doctor.add_arguments(parts.add_parser("doctor", help="what is wrong with a video set"))
    arguments = parser.parse_args()
    try:
        arguments.run(arguments)
    except MemaeError as error:
        parser.exit(2, f"benchmarks: {error}\n")
    except ModuleNotFoundError as error:
        parser.exit(2, f"benchmarks: {error.name} is missing; install it with pip install -e '.[bench]'\n")


if __name__ == "__main__":
    main()
