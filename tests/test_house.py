"""Metrics of the code base, on a small generated tree."""

import json

import pytest

from measurements import house
from memae.errors import SourceError

CORE = '''"""A module."""


class Scorer:
    """A class."""

    def forward(self, x, *more, maps=True):
        """Two lines of docstring,

        which do not count.
        """
        if self.model.pace is not None and x.kind == "image":
            return [each for each in more if isinstance(self, VideoMemAE)]
        assert column.kind == "number"

        def inner(a, b, /, c, *, d, **e):
            return a if masked_columns else b

        return inner


def short(): return 1
'''


@pytest.fixture
def tree(tmp_path):
    for folder in ("data", "estimators"):
        (tmp_path / folder).mkdir()
    (tmp_path / "core.py").write_text(CORE)
    (tmp_path / "data" / "images.py").write_text("if kind == 'image' and hiding:\n    pass\n")
    (tmp_path / "estimators" / "image.py").write_text("if kind == 'image':\n    pass\n")
    (tmp_path / "estimators" / "base.py").write_text("while not isinstance(x, ImageMemAE):\n    pass\n")
    (tmp_path / "empty.py").write_text("")
    return tmp_path


def test_a_tree_is_measured(tree):
    found = house.metrics(tree)
    assert found["lines"] == 22 + 2 + 2 + 2
    assert found["modules"] == {"count": 5, "median": 2, "longest": 22, "longest_is": "core.py"}
    assert found["functions"] == {
        "count": 3,
        "median": 2,
        "p95": 9,
        "longest": 9,
        "longest_is": "core.py:7 Scorer.forward",
        "most_parameters": 5,
        "most_parameters_is": "core.py:16 Scorer.forward.inner",
    }


def test_conditions_on_the_kind_and_on_pretext_tasks_are_counted_outside_the_rooms_that_may_know(tree):
    found = house.metrics(tree)
    assert found["conditionals_on_kind"] == {"count": 3, "files": {"core.py": 2, "estimators/base.py": 1}}
    assert found["conditionals_on_pretext"] == {"count": 2, "files": {"core.py": 2}}


@pytest.mark.parametrize(
    ("condition", "kind", "pretext"),
    [
        ("estimator.kind == 'table'", True, False),
        ("column.kind == 'number'", False, False),
        ("len(videos) > 1", False, False),
        ("video", True, False),
        ("isinstance(kind, Tables)", True, False),
        ("model.compass is None", False, True),
        ("spec.rotations", False, True),
        ("self.speeds", False, True),
        ("space", False, False),
        ("returns", False, False),
    ],
)
def test_what_counts_as_asking(condition, kind, pretext):
    assert (house.KIND.search(condition) is not None) == kind
    assert (house.PRETEXT.search(condition) is not None) == pretext


def test_what_cannot_be_measured_is_said(tmp_path, capsys):
    with pytest.raises(SourceError, match="holds no Python files; name the directory of a package"):
        house.metrics(tmp_path)
    (tmp_path / "broken.py").write_text("def f(:\n")
    with pytest.raises(SourceError, match=r"broken.py is no Python that this interpreter parses"):
        house.metrics(tmp_path)


def test_the_command_prints_json(tree, capsys):
    house.main(house.argparse.Namespace(directory=tree))
    assert json.loads(capsys.readouterr().out) == house.metrics(tree)
