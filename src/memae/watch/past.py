"""Reads back the alarms of a watch from the list that it wrote."""

import json
from pathlib import Path
from typing import NamedTuple

from memae.data.addresses import live_source
from memae.errors import InputError, OptionError, SourceError

LIST = "alarms.jsonl"
"""Name of the list in the folder of a watch."""


class Past(NamedTuple):
    """An alarm that has ended."""

    number: int
    source: str  # as it was watched
    start: float  # seconds from the first frame of the source
    end: float


def past_alarms(path: Path, numbers: list[int]) -> list[Past]:
    """The alarms of these numbers in a list, in this order.

    Args:
        path: alarms.jsonl of `memae watch --output`, or its folder.
        numbers: of the alarms.

    Raises:
        SourceError: the file cannot be read, or is no such list.
        OptionError: there is no alarm of a number.
    """
    path = path / LIST if path.is_dir() else path
    found: dict[int, Past] = {}
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            event = json.loads(line)
            if event["event"] == "end":
                number = int(event["alarm"])
                found[number] = Past(number, str(event["source"]), float(event["start"]), float(event["end"]))
    except OSError as error:
        raise SourceError(f"{path} cannot be read ({error.strerror}); give alarms.jsonl of `memae watch -o`") from error
    except (ValueError, KeyError, TypeError) as error:
        raise SourceError(f"{path} is not a list of alarms as `memae watch -o` writes it") from error
    missing = [number for number in numbers if number not in found]
    if missing:
        known = f"its alarms are {min(found)} to {max(found)}" if found else "it has none"
        raise OptionError(f"{path} has no ended alarm {', '.join(map(str, missing))}; {known}")
    return [found[number] for number in numbers]


def by_source(alarms: list[Past]) -> dict[Path, list[Past]]:
    """The alarms of each recorded source.

    Raises:
        InputError: a source was a live stream, or is not there.
    """
    found: dict[Path, list[Past]] = {}
    for alarm in alarms:
        if live_source(alarm.source) is not None:
            raise InputError(
                f"alarm {alarm.number} is of {alarm.source}, of which memae keeps no film; record it, watch the "
                "recording, and accept its alarms"
            )
        if not Path(alarm.source).exists():
            raise InputError(
                f"alarm {alarm.number} is of {alarm.source}, which is not there; run this in the folder in which it "
                "was watched"
            )
        found.setdefault(Path(alarm.source), []).append(alarm)
    return found
