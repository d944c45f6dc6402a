"""Training, scores, maps, evidence and old model files give what was recorded: a change of form changes no number.

The results were recorded on one thread. Where the versions of torch and numpy and the CPU's capability are those of
the recording, every result must be the same bit for bit, unless the case names a tolerance for it
(`Case.tolerances`). Elsewhere the last bits of sums differ, and training makes percents of them within some steps
(tried with another CPU capability): of a detector that is trained there, only the loss of the first step, to 1e-5, and
what was learned from are compared, and the rest is skipped; so it is with kept patches, of which each is chosen by its
distance to those before. Kept rows and model files need no training: their numbers
compare elsewhere, too, to 1e-9 for measures of kept rows, to 1e-12 for model files of tables, which are scored in
float64, and to 1e-5 for others, of the largest number beside them; but not what a last bit can turn over (ranks,
choices, which items answer).
"""

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from tests.recorded import reading, storage
from tests.recorded.cases import CASES, STORED

from memae.networks.efficientnet_lite import installed

UNTRAINED = 1e-9
"""Tolerance elsewhere for detectors that are fitted without training."""
RANKED = frozenset({"best", "discoveries", "drift", "evidence", "fallbacks", "health", "p_values", "predictions"})
"""Results that a last bit can turn over: they are compared only on a machine like that of the recording."""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Sums depend on how many threads share them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def compare(name: str, found: dict[str, Any], tolerances: dict[str, float], loose: float) -> None:
    """Holds results against those recorded under a name."""
    kept = storage.read(name)
    alike = kept.pop("machine") == storage.machine()
    results = storage.packed(found)
    wrong = [] if kept.keys() == results.keys() else [f"results {sorted(kept)} were recorded, now {sorted(results)}"]
    for each in kept.keys() & results.keys():
        tolerance = tolerances.get(each, tolerances.get("*", 0.0))
        if alike or each not in RANKED:
            wrong += storage.differences(
                kept[each], results[each], tolerance if alike else max(tolerance, loose), f"{name}: {each}"
            )
    assert not wrong, "\n".join(sorted(wrong))


@pytest.mark.parametrize("name", CASES)
def test_a_detector_that_is_fitted_anew_is_the_recorded_one(name):
    case = CASES[name]
    if "features" in case.parameters and not installed(0):
        pytest.skip("needs the extra features")
    data = case.data()
    fitted = reading.fit(case, data.normal)
    kept = storage.read(name)
    if (fitted.losses or "features" in case.parameters) and kept["machine"] != storage.machine():
        known = reading.training(fitted.detector)
        assert fitted.losses[:1] == pytest.approx(kept["losses"][:1], rel=1e-5)
        assert [known[each] for each in ("checksum", "learned")] == [kept[each] for each in ("checksum", "learned")]
        pytest.skip(f"recorded with {kept['machine']}: elsewhere training comes to other weights, or other patches")
    compare(name, reading.results(case, fitted, data), case.tolerances, UNTRAINED)


@pytest.mark.parametrize("name", STORED)
def test_a_model_file_scores_as_it_did(name):
    stored = STORED[name]
    case = CASES[stored.case]
    detector = reading.load(storage.FOLDER / f"{name}.memae")
    compare(name, reading.of_file(case.kind, detector, case.data().seen), stored.tolerances, stored.loose)


def test_a_changed_number_is_found():
    kept = storage.packed({"few": torch.rand(5), "many": torch.rand(40, 40), "name": "a", "losses": [1.0, math.nan]})
    assert not storage.differences(kept, kept, 0.0, "")
    for name in ("few", "many"):
        form = {"few": "values", "many": "sums"}[name]
        numbers = [*kept[name][form][:-1], kept[name][form][-1] * (1 + 1e-9)]
        other = kept | {name: kept[name] | {form: numbers}}
        assert len(storage.differences(kept, other, 1e-12, "")) == 1
        assert not storage.differences(kept, other, 1e-8, "")
    for other in (
        kept | {"name": "b"},
        kept | {"losses": [1.0, 2.0]},
        kept | {"losses": [1.0]},
        kept | {"many": kept["many"] | {"sha256": "other"}},
        {each: kept[each] for each in ("few", "many", "name")},
    ):
        assert len(storage.differences(kept, other, 0.0, "")) == 1
