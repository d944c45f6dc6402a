"""The commands of `python -m measurements`."""

from measurements import against, calibration, house, scale, trust_page, walkthrough, windows
from measurements.adbench import jobs as adbench
from measurements.adbench import page as adbench_page
from measurements.fuzz import campaign
from measurements.parity import measure as parity
from measurements.parity import page as parity_page
from measurements.service import measure as service
from measurements.service import page as service_page
from measurements.speed import measure as speed
from measurements.speed import page as speed_page
from recording.commands import Command, measuring, of_jobs

COMMANDS = (
    measuring(
        "speed",
        "The cost of everything, beside its peers.",
        "docs/speed.md",
        speed.add_options,
        speed.measure,
        speed_page.render,
    ),
    measuring(
        "service",
        "The service under load: the most that it answers, how soon, and what it does when asked for more.",
        "docs/service.md",
        service.add_options,
        service.measure,
        service_page.render,
    ),
    of_jobs(
        "adbench",
        "Tables of ADBench, beside PyOD's detectors.",
        "docs/quality.md",
        adbench.add_options,
        adbench.chosen,
        adbench_page.render,
    ),
    measuring(
        "calibration",
        "False-alarm rates, promised and realised.",
        "docs/trust.md",
        calibration.add_options,
        calibration.measure,
        trust_page.render,
    ),
    measuring(
        "parity",
        "The same samples through every surface.",
        "docs/parity.md",
        parity.add_options,
        parity.measure,
        parity_page.render,
    ),
    measuring(
        "fuzz",
        "Hostile files of every format.",
        "docs/trust.md",
        campaign.add_options,
        campaign.measure,
        trust_page.render,
    ),
    measuring(
        "scale",
        "The same detector in several processes: equality, CPU time, killed workers, bad files.",
        "docs/scale.md",
        scale.add_options,
        scale.measure,
        scale.render,
    ),
    measuring(
        "walkthrough",
        "The command line on real data, from fit to alarms.",
        "the README's figures",
        walkthrough.add_options,
        walkthrough.measure,
        walkthrough.render,
    ),
    measuring(
        "windows",
        "Windows of rows beside single rows, on public series.",
        "docs/windows.md",
        windows.add_options,
        windows.measure,
        windows.render,
    ),
    Command(
        "against",
        "This checkout against another one: the ratio of their CPU seconds, task by task, in one interleaved run.",
        against.add_arguments,
        against.main,
    ),
    Command(
        "house",
        "Metrics of the code base: lines, modules, functions, parameters, questions about the kind of data.",
        house.add_arguments,
        house.main,
    ),
)
