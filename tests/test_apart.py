"""No command writes over what it reads."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from memae import TabularMemAE
from memae.cli.apart import check_apart
from memae.errors import OptionError

Run = Callable[..., Any]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    rows = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 3)), columns=list("abc"))
    rows.to_csv(tmp_path / "rows.csv", index=False)
    rows.to_csv(tmp_path / "rows.html", index=False)
    TabularMemAE(4, epochs=1, warmup=0, false_alarm_rate=0.2).fit(rows).save(tmp_path / "m.memae")
    return tmp_path / "m.memae"


@pytest.mark.parametrize(
    "call",
    [
        ["fit", "table", "rows.csv", "-o", "rows.csv"],
        ["score", "m.memae", "rows.csv", "-o", "rows.csv"],
        ["score", "m.memae", "rows.csv", "-o", "m.memae"],
        ["explain", "m.memae", "rows.csv", "-o", "rows.csv"],
        ["report", "m.memae", "rows.html", "-o", "rows.html"],
        ["update", "m.memae", "rows.csv", "-o", "m.memae"],
        ["update", "m.memae", "rows.csv", "-o", "rows.csv"],
        ["recalibrate", "m.memae", "rows.csv", "-o", "m.memae"],
        ["recalibrate", "m.memae", "rows.csv", "-o", "link.csv"],
    ],
)
def test_a_command_that_would_write_over_its_input_is_refused(
    run: Run, model: Path, monkeypatch: pytest.MonkeyPatch, call: list[str]
) -> None:
    monkeypatch.chdir(model.parent)
    Path("link.csv").symlink_to("rows.csv")
    before = {path.name: path.read_bytes() for path in model.parent.iterdir()}
    ran = run(*call)
    assert ran.code == 1
    assert f"{call[-1]} is read by this command and would be overwritten" in ran.err
    assert {path.name: path.read_bytes() for path in model.parent.iterdir()} == before


def test_a_picture_in_the_folder_that_is_read_stays(tmp_path: Path) -> None:
    for name in ("a.png", "deep/b.PNG"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("L", (4, 4)).save(tmp_path / name)
        with pytest.raises(OptionError, match="give another file"):
            check_apart(tmp_path / name, tmp_path)
    (tmp_path / "m.memae").write_text("the model of before")
    check_apart(tmp_path / "m.memae", tmp_path)  # may be made anew
    check_apart(tmp_path / "new.png", tmp_path)
    check_apart(tmp_path / "a.png", tmp_path / "deep", tmp_path / "none")
    check_apart(None, tmp_path)
