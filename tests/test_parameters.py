"""Parameters: written once, they are signature, docstring, command line and model file, under old names as well."""

import inspect
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import typer
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from memae import parameters
from memae.cli import app
from memae.errors import ModelFileError, OptionError
from memae.estimators import ImageMemAE, TabularMemAE, VideoMemAE, load
from memae.modelfile import artifact
from memae.parameters import former_names, parameters_of

ROWS = np.random.default_rng(0).normal(size=(80, 3))
FAST: dict[str, Any] = {"epochs": 2, "warmup": 1, "n_items": 6, "widths": (6, 3), "false_alarm_rate": 0.2}
KINDS = [("table", TabularMemAE), ("images", ImageMemAE), ("video", VideoMemAE)]
FORMER = [
    *((TabularMemAE, *names) for names in (("hide", "masked_columns"), ("keep_samples", "keep_examples"))),
    *((ImageMemAE, *names) for names in (("turns", "rotations"), ("references", "kept_samples"))),
    *((VideoMemAE, *names) for names in (("paces", "speeds"), ("references", "kept_samples"))),
]
each_kind = pytest.mark.parametrize(("command", "kind"), KINDS, ids=[command for command, _ in KINDS])
each_former = pytest.mark.parametrize(("kind", "old", "new"), FORMER)


def options(command: str) -> dict[str, Any]:
    fit: Any = typer.main.get_command(app)
    return {option.name: option for option in fit.commands["fit"].commands[command].params}


def one_line(text: str) -> str:
    return " ".join(text.split())


# ------------------------------------------------------------------------------------------------------- written once


@each_kind
def test_every_parameter_is_an_option_with_the_same_default_and_words(command: str, kind: Any) -> None:
    found = options(command)
    for each in parameters_of(kind):
        option = found.pop(each.name)
        default = tuple(option.default) if isinstance(option.default, list) else option.default
        assert default == each.default, each.name
        assert type(default) is type(each.default), each.name
        told = option.help.replace("\\[", "[")
        assert told.startswith(each.setting.help)
        assert told.endswith((each.setting.help, each.setting.cli))
        assert not option.hidden
        flag = "--" + each.name.replace("_", "-")
        assert (each.setting.flags or (flag,))[0] in option.opts
        assert bool(option.secondary_opts) == (isinstance(each.default, bool) and not each.setting.flags)
    former = {name for name in found if found[name].hidden}
    assert former == set(former_names(kind))
    own = {"source", "output", "protocol", "resume", "log_dir", "mlflow", "as_json"}
    reading = {"separator", "decimal", "thousands", "encoding", "sheet", "header"}
    groups = {"by", "shared", "fewest", "workers"}
    more = {"video": {"native_size"}, "table": reading | groups}
    assert set(found) - former == own | more.get(command, set())


@each_kind
def test_the_help_of_the_command_is_complete(
    run: Callable[..., Any], command: str, kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "1000")
    text = one_line(run("fit", command, "--help").out)
    for each in parameters_of(kind):
        assert one_line(f"{each.setting.help} {each.setting.cli}") in text, each.name
    assert not [old for old in former_names(kind) if f"--{old.replace('_', '-')} " in text]


@each_kind
def test_the_docstring_tells_of_every_parameter(command: str, kind: Any) -> None:
    text = inspect.getdoc(kind) or ""
    listed = one_line(text[text.index("Args:") : text.index("Attributes:")])
    for each in parameters_of(kind):
        assert f"{each.name}: {each.setting.help[0].lower()}{each.setting.help[1:]}" in listed
        assert each.setting.api in listed
        assert each.setting.help.endswith(".")
    assert max(map(len, text.splitlines())) <= 120
    assert text.startswith("Detects anomalous")


@each_kind
def test_the_signature_has_types_and_defaults_and_all_but_the_first_by_name(command: str, kind: Any) -> None:
    known = inspect.signature(kind).parameters
    assert list(known) == [each.name for each in parameters_of(kind)]
    assert set(known) == set(kind().get_params())
    first, *others = known.values()
    assert (first.name, first.kind) == ("n_items", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    assert {each.kind for each in others} == {inspect.Parameter.KEYWORD_ONLY}
    assert not any("Setting" in str(each) for each in known.values())
    assert known["temperature"].annotation is float
    assert known["similarity"].annotation == parameters.Similarity
    assert kind(7).n_items == 7
    with pytest.raises(TypeError):
        kind(7, 8)
    with pytest.raises(TypeError):
        kind(colour="red")


@each_kind
def test_the_papers_setting_differs_from_the_defaults_and_from_nothing_else(command: str, kind: Any) -> None:
    ours, paper = kind().get_params(), kind.paper().get_params()
    assert {name for name in ours if ours[name] != paper[name]} == set(kind.PAPER)
    assert paper == ours | kind.PAPER


def test_a_kind_says_only_what_is_different_for_it() -> None:
    common = {each.name: each for each in parameters_of(parameters.Common)}
    for kind in (parameters.Tabular, parameters.Image, parameters.Video):
        for each in parameters_of(kind):
            if each.name in common:
                if not kind.LEARNS_WITH:
                    assert each.setting.panel == common[each.name].setting.panel
                assert each.setting.was == common[each.name].setting.was
    tables = {each.name: each for each in parameters_of(parameters.Tabular)}
    assert tables["temperature"].setting == common["temperature"].setting
    assert (tables["temperature"].default, common["temperature"].default) == (0.05, 0.03)


def test_nothing_heavy_is_imported_for_help() -> None:
    code = "import sys, memae.cli; print([n for n in ('torch', 'numpy', 'pandas', 'sklearn') if n in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


# -------------------------------------------------------------------------------------------------------- scikit-learn


@each_kind
def test_clone_and_pickle_keep_parameters(command: str, kind: Any) -> None:
    given = kind(n_items=5, learning_rate=0.5, kept_samples=3, random_state=7)
    for again in (clone(given), pickle.loads(pickle.dumps(given))):  # noqa: S301
        assert type(again) is kind
        assert again.get_params() == given.get_params()
    assert "learning_rate=0.5" in repr(given)
    assert kind() != kind()  # two detectors are never the same one
    assert len({kind(), kind()}) == 2


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("name", ["kept_samples", "references"])
def test_a_grid_search_knows_both_names(name: str) -> None:
    def kept(estimator: TabularMemAE, X: Any, y: Any = None) -> float:
        return float(estimator.kept_samples)

    search = GridSearchCV(TabularMemAE(**FAST), {name: [0, 9]}, scoring=kept, cv=2, error_score="raise").fit(ROWS)
    assert search.best_estimator_.kept_samples == 9
    assert len(search.best_estimator_.scorer_.kept.items) == 9


# -------------------------------------------------------------------------------------------------------- former names


@each_former
def test_former_names_work_and_name_the_new_one(kind: Any, old: str, new: str) -> None:
    said = pytest.warns(FutureWarning, match=rf"^{old} is now called {new}; the former name goes in the next release$")
    value = not getattr(kind(), new)
    with said as caught:
        detector = kind(5, **{old: value})
    assert caught[0].filename == __file__
    assert getattr(detector, new) == value
    assert old not in detector.get_params()
    with said:
        assert kind().set_params(**{old: value}).get_params()[new] == value
    with said:
        assert getattr(kind.paper(**{old: value}), new) == value
    with said:
        assert getattr(detector, old) == value
    with said:
        setattr(detector, old, None)
    assert getattr(detector, new) is None


@each_former
def test_both_names_at_once_are_refused(kind: Any, old: str, new: str) -> None:
    for call in (kind, kind().set_params, kind.paper):
        with pytest.raises(OptionError, match=f"{new} and {old} are the same parameter; leave out {old}"):
            call(**{old: 1, new: 1})


def test_a_model_file_of_an_earlier_release_is_restored(tmp_path: Path) -> None:
    given = {"masked_columns": False, "kept_samples": 11, "keep_examples": True}
    detector = TabularMemAE(**FAST, **given).fit(ROWS)
    detector.save(tmp_path / "new")
    source = artifact.load(tmp_path / "new")
    former = {new: old for old, new in former_names(TabularMemAE).items()}
    names = {former.get(name, name): value for name, value in source.parameters.items()}
    assert {"hide", "references", "keep_samples"} <= set(names)
    artifact.save(replace(source, parameters=names), tmp_path / "old")
    again = load(tmp_path / "old")
    assert again.get_params() == {**detector.get_params(), "widths": [6, 3], "ignore": [], "keep_columns": []}
    np.testing.assert_array_equal(again.anomaly_score(ROWS), detector.anomaly_score(ROWS))
    again.save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "new").read_bytes()
    artifact.save(replace(source, parameters=names | {"kept_samples": 11}), tmp_path / "both")
    with pytest.raises(ModelFileError):
        load(tmp_path / "both")


# ---------------------------------------------------------------------------------------------------- the command line


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    pd.DataFrame(ROWS, columns=list("abc")).to_csv(path, index=False)
    return path


def test_former_options_work_and_warn(run: Callable[..., Any], rows: Path, tmp_path: Path) -> None:
    fast = ["--epochs", 2, "--warmup", 1, "--n-items", 6, "--false-alarm-rate", 0.2]
    ran = run(
        "fit", "table", rows, "-o", tmp_path / "m", *fast, "--no-hide", "--references", 11, "--keep-samples",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    told = [line for line in ran.err.splitlines() if "is now called" in line]
    assert [line.split(";")[0] for line in told] == [
        "memae: warning: --references is now called --kept-samples",
        "memae: warning: --keep-samples is now called --keep-examples",
        "memae: warning: --hide is now called --masked-columns",
    ]
    found = load(tmp_path / "m")
    assert (found.masked_columns, found.kept_samples, found.keep_examples) == (False, 11, True)


def test_a_former_option_goes_before_the_papers_setting(run: Callable[..., Any], rows: Path, tmp_path: Path) -> None:
    fast = ["--epochs", 2, "--n-items", 6, "--false-alarm-rate", 0.2]
    ran = run("fit", "table", rows, "-o", tmp_path / "m", "--protocol", "paper", *fast, "--hide")
    assert ran.code == 0, ran.err
    expected = TabularMemAE.paper(
        epochs=2, n_items=6, false_alarm_rate=0.2, masked_columns=True, ignore=[], keep_columns=[]
    )
    assert load(tmp_path / "m").get_params() == expected.get_params()


def test_help_says_which_options_need_another(run: Callable[..., Any]) -> None:
    """Every option of a table but those of a learned memory is in the first panel."""
    panels = re.split(r"╭─ (.*?) ─+╮", run("fit", "table", "--help").out)
    of_learning = "".join(
        text for title, text in zip(panels[1::2], panels[2::2], strict=True) if "(with --n-items)" in title
    )
    named = set(re.findall(r"--[a-z][a-z-]+", one_line(of_learning)))
    for each in parameters_of(parameters.Tabular):
        flag = (each.setting.flags or ("--" + each.name.replace("_", "-"),))[0]
        assert (flag in named) == (each.name in parameters.OF_LEARNING), flag
    assert "with --" not in run("fit", "images", "--help").out


def test_an_option_under_both_names_is_wrong_usage(run: Callable[..., Any], rows: Path, tmp_path: Path) -> None:
    ran = run("fit", "table", rows, "-o", tmp_path / "m", "--kept-samples", 5, "--references", 5)
    assert ran.code == 2
    assert "--kept-samples and --references are the same option" in one_line(ran.err.replace("│", " "))
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"scaling": "foo"}, "scaling must be 'standard' or 'minmax'; got 'foo'"),
        ({"keep_examples": 50}, "keep_examples must be True or False; got 50"),
        ({"masked_columns": "no"}, "masked_columns must be True or False; got 'no'"),
        ({"epochs": True}, "epochs must be a whole number; got True"),
        ({"n_items": 2.5}, "n_items must be a whole number or None; got 2.5"),
        ({"temperature": None}, "temperature must be a number; got None"),
        ({"held_out": "x"}, "held_out must be a number; got 'x'"),
        ({"widths": 8}, "widths must be a list or 'paper' or None; got 8"),
        ({"ignore": "id"}, "ignore must be a list; got 'id'"),
        ({"random_state": "a"}, "random_state must be a whole number or a RandomState or None; got 'a'"),
    ],
)
def test_a_parameter_of_another_type_is_refused_before_anything_is_learned(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=re.escape(message)):
        TabularMemAE(**wrong).fit(np.zeros((30, 2)))


def test_numbers_of_numpy_are_numbers() -> None:
    detector = TabularMemAE(np.int64(5), epochs=4, temperature=np.float32(0.5), widths=(np.int64(6), 3))
    assert detector.fit(np.random.default_rng(0).normal(size=(60, 3))).spec_.widths == (6, 3)
