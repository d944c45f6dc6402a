"""Writes each kind of file in processes that kill themselves at one of their calls, and tells what was left.

`python tests/killing.py FOLDER KILLS` prints a line of JSON a kind: for each kill whether the process died of it, and
whether all files were whole; and whether the next write went well. A process dies at a call that Python makes, by its
number, so that every run is the same.
"""

import gc
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from memae.checkpoint import Run
from memae.cli.writing import write
from memae.data.images import heat_colours, write_picture
from memae.deployment.files import OnnxFile, OpenVinoFiles
from memae.estimators import TabularMemAE, VideoMemAE
from memae.options import Options
from memae.report import write as write_report
from memae.spec import MemorySpec, Spec, build
from memae.watch.events import Ledger
from memae.watch.overlay import film_writer
from memae.watch.watching import Alarm, Watched

torch.set_num_threads(1)
SMALL: dict[str, Any] = {"epochs": 1, "warmup": 0, "n_items": 4, "init": "uniform", "false_alarm_rate": 0.2}
ROWS = pd.DataFrame(np.random.default_rng(0).normal(size=(40, 3)), columns=list("abc"))
TABLES = [TabularMemAE(widths=(4,), random_state=seed, **SMALL).fit(ROWS) for seed in (0, 1)]
FRAMES = np.random.default_rng(0).integers(0, 255, (60, 12, 16)).astype(np.uint8)
VIDEO = VideoMemAE(widths=(4,), strides=((2, 2),), size="native", length=3, speeds=False, **SMALL).fit(FRAMES)

Version = int  # 0 is what was there before, 1 what is written over it
Files = dict[str, bytes]


class Kind(NamedTuple):
    """A kind of file."""

    name: str  # of the file, or the folder
    write: Callable[[Path, Version], None]
    whole: Callable[[Files, Files, Files], bool]  # what is left, what was there, what was to be there


def replaced(left: Files, old: Files, new: Files) -> bool:
    """Each file is the old or the new one."""
    return left.keys() == old.keys() and all(left[name] in (old[name], new[name]) for name in left)


def grown(left: Files, old: Files, new: Files) -> bool:
    """Lists have grown by whole lines; pictures are there or not."""
    lists = [name for name in left if not name.endswith(".png")]
    lines = all(new[name].startswith(left[name]) and left[name].endswith(b"\n") for name in lists)
    kept = all(len(left[name]) >= len(old[name]) for name in lists)
    return lines and kept and all(left[name] == new[name] for name in left if name not in lists)


def paired(left: Files, old: Files, new: Files) -> bool:
    """A graph only lies beside its own weights."""
    graph = next((name for name in left if name.endswith(".xml")), None)
    return graph is None or left in (old, new)


def paged(left: Files, old: Files, new: Files) -> bool:
    """A page is whole, and one of the two."""
    (page,) = (content for name, content in left.items() if name.endswith(".html"))
    return page.rstrip().endswith(b"</html>") and (b"version 0" in page or b"version 1" in page)


def checkpoint(path: Path, version: Version) -> None:
    torch.manual_seed(version)
    Run(build(Spec((3,), (4, 2), memory=MemorySpec(4))), Options(), "run", []).save(path)


def scores(path: Path, version: Version) -> None:
    rows = pd.DataFrame({"row": range(50), "score": np.arange(50.0) + version, "is_anomaly": version})
    write(iter([rows, rows.assign(row=rows["row"] + 50)]), path)


def movie(path: Path, version: Version) -> None:
    with film_writer(path, 25.0) as written:
        for number in range(4):
            written.add(np.full((32, 48, 3), 20 * number + version, dtype=np.uint8))


def alarms(folder: Path, version: Version) -> None:
    picture = np.zeros((12, 16, 3), dtype=np.uint8)
    frame = Watched("door.mp4", 3, 0.12, 0.0, 5.0, 0.5, 0.01, torch.zeros(1, 12, 16), picture)
    with Ledger(folder) as ledger:
        for number in range(ledger.first, ledger.first + 1 + version):
            listed = dict.fromkeys(("start", "end", "peak_frame", "thumbnail"), number)
            ledger.thumbnail(VIDEO, Alarm(number, frame, frame, frame, 1))
            facts = dict.fromkeys(
                (*("source", "start_wall", "end_wall", "frames", "peak_time"), "peak_score", "p_value")
            )
            ledger.add({"event": "end", "alarm": number} | listed | facts)


def report(path: Path, version: Version) -> None:
    write_report(TABLES[0], path.with_name("rows.csv"), path, title=f"version {version}")


KINDS = (
    Kind("model.memae", lambda path, version: TABLES[version].save(path), replaced),
    Kind("model.checkpoint", checkpoint, replaced),
    *(Kind(f"scores.{ending}", scores, replaced) for ending in ("csv", "parquet", "jsonl")),
    Kind("map.png", lambda path, version: write_picture(heat_colours(np.eye(40) / (version + 1)), path), replaced),
    Kind("film.mp4", movie, replaced),
    Kind("alarms", alarms, grown),
    Kind("report.html", report, paged),
    Kind("model.onnx", lambda path, version: OnnxFile(bytes([version]) * 99).write(path), replaced),
    Kind("model.xml", lambda path, version: OpenVinoFiles(bytes([version]) * 9, b"w%d" % version).write(path), paired),
)


def files(place: Path) -> Files:
    """What lies there, but for what a killed process left of its own."""
    found = [path for path in place.rglob("*") if path.is_file() and path.suffix != ".part"]
    return {str(path.relative_to(place)): path.read_bytes() for path in found}


def forked(work: Callable[[], None]) -> int:
    """The status of a process that does it."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1]


def profiled(work: Callable[[], None], at: int, told: Path | None = None) -> None:
    """Does it, and dies at call number `at`; writes the number of calls into `told`."""
    count = 0

    def seen(*_: object) -> None:
        nonlocal count
        count += 1
        if count == at:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(seen)
    work()
    sys.setprofile(None)
    if told is not None:
        told.write_text(str(count))


def tried(kind: Kind, folder: Path, kills: int) -> Iterator[dict[str, Any]]:
    """Kills one write after another."""
    told = folder / "calls"

    def fresh(name: str, *versions: Version) -> Path:
        place = folder / name
        place.mkdir()
        ROWS.to_csv(place / "rows.csv", index=False)
        for version in versions:
            assert forked(lambda version=version: kind.write(place / kind.name, version)) == 0, kind.name
        return place

    old, new = files(fresh("old", 0)), files(fresh("new", 0, 1))
    place = fresh("counted", 0)
    assert forked(lambda: profiled(lambda: kind.write(place / kind.name, 1), 0, told)) == 0
    calls = int(told.read_text())
    points = {round(each) for each in np.linspace(1, calls, kills)} | set(range(max(calls - 60, 1), calls, 8))
    for at in sorted(points):
        place = fresh(f"killed-{at}", 0)
        status = forked(lambda place=place, at=at: profiled(lambda: kind.write(place / kind.name, 1), at))
        yield {"at": at, "died": os.WIFSIGNALED(status), "whole": kind.whole(files(place), old, new)}


def main() -> None:
    """Tries all kinds."""
    folder, kills = Path(sys.argv[1]), int(sys.argv[2])
    gc.freeze()  # a collection in a forked process would copy all that this one holds
    for kind in KINDS:
        place = folder / kind.name.replace(".", "-")
        place.mkdir()
        found = list(tried(kind, place, kills))
        last = place / f"killed-{found[-1]['at']}" / kind.name
        again = forked(lambda last=last, kind=kind: kind.write(last, 1)) == 0  # over what a kill left
        print(json.dumps({"kind": kind.name, "kills": found, "again": again}), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
