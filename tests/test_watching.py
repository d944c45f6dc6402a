"""Watching: the same scores as scoring, with a stated delay; and when scores become alarms."""

import copy
import gc
import itertools
import tracemalloc
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from memae import VideoMemAE
from memae.data.streams import Item, Lost, Mark, Opened, Shot, Skipped
from memae.errors import OptionError, SchemaError, SourceError
from memae.frames import Causal, causal
from memae.kinds.following import Footage
from memae.watch.watching import Ended, Rule, Started, Watched, alarms, rule_of, watch

RNG = np.random.default_rng(0)
OPENED = Opened("door", 25.0, live=True)


def shot(number: int, frame: np.ndarray[Any, Any]) -> Shot:
    return Shot(number / 25, 1e9 + number / 25, torch.from_numpy(frame)[None], None)


def shots(frames: Iterable[np.ndarray[Any, Any]], first: int = 0) -> list[Item]:
    return [shot(number, frame) for number, frame in enumerate(frames, first)]


# -------------------------------------------------------------------------------------------------------------- scores


def test_watching_scores_as_scoring_does(watcher: VideoMemAE, squares: Any) -> None:
    frames = squares(60, odd=(30, 45))
    found = list(watch(watcher, [OPENED, *shots(frames)]))
    assert found[0] == OPENED
    seen: list[Watched] = found[1:]
    scores = watcher.anomaly_score(frames)
    assert [frame.score for frame in seen] == scores.tolist()
    assert [frame.p_value for frame in seen] == watcher.p_value(frames).tolist()
    assert [frame.frame for frame in seen] == list(range(60))
    assert [frame.time for frame in seen] == [number / 25 for number in range(60)]
    known = watcher.scorer_.calibration.scores
    np.testing.assert_allclose(
        [frame.normalised for frame in seen], causal(scores, float(known[0]), float(known[-1])), rtol=1e-12
    )


def test_a_frame_that_scores_as_a_held_out_one_has_the_p_value_of_scoring(watcher: VideoMemAE, squares: Any) -> None:
    """In float32, its score would not be that of the held-out frame any more."""
    frames = squares(40, seed=9)
    held_out = watcher.anomaly_score(frames)[:11]
    other = copy.deepcopy(watcher).recalibrate(held_out, false_alarm_rate=0.2)
    seen = [frame for frame in watch(other, [OPENED, *shots(frames)]) if isinstance(frame, Watched)]
    expected = [(1 + int((held_out >= score).sum())) / 12 for score in held_out]
    assert [frame.p_value for frame in seen[:11]] == expected
    assert [frame.p_value for frame in seen] == other.p_value(frames).tolist()


def test_memory_is_constant(watcher: VideoMemAE, squares: Any) -> None:
    """However long it watches, with alarms that come and go and gaps: nothing is kept."""

    def endless() -> Iterator[Item]:
        frames = squares(100, odd=(40, 60))
        for turn in itertools.count():
            yield Skipped(1) if turn else OPENED
            yield from shots(frames, 100 * turn)

    held = []
    found = alarms(watch(watcher, endless()), rule_of(watcher, release=0.2))
    tracemalloc.start()
    try:
        for item in found:
            if isinstance(item, Watched) and item.time in (18.0, 66.0):
                gc.collect()
                held.append(tracemalloc.get_traced_memory()[0])
                if len(held) == 2:
                    break
    finally:
        tracemalloc.stop()
    assert held[1] - held[0] < 100 * 1200  # bytes a frame; one that is kept takes 400


def test_no_clip_spans_a_gap(watcher: VideoMemAE, squares: Any) -> None:
    one, two = squares(20), squares(25, seed=5)
    found = list(watch(watcher, [OPENED, *shots(one), Skipped(7), *shots(two, 27), Lost("door", "gone"), OPENED]))
    seen = [frame for frame in found if isinstance(frame, Watched)]
    alone = [*watcher.anomaly_score(one), *watcher.anomaly_score(two)]
    assert [frame.score for frame in seen] == alone
    assert [frame.frame for frame in seen] == [*range(20), *range(27, 52)]
    assert [mark for mark in found if not isinstance(mark, Watched)] == [
        OPENED, Skipped(7), Lost("door", "gone"), OPENED,
    ]  # fmt: skip
    assert found.index(Skipped(7)) == 21


def test_fewer_frames_than_a_clip_are_skipped(watcher: VideoMemAE, squares: Any) -> None:
    items = [OPENED, *shots(squares(3)), Lost("door", "gone"), OPENED, *shots(squares(10))]
    found = list(watch(watcher, items))
    assert found[:4] == [OPENED, Skipped(3), Lost("door", "gone"), OPENED]
    assert [frame.frame for frame in found[4:]] == list(range(3, 13))


def test_each_video_has_its_own_range_and_numbers(watcher: VideoMemAE, squares: Any) -> None:
    one = squares(20, odd=(5, 15))
    first, second = OPENED._replace(name="a"), OPENED._replace(name="b")
    found = [each for each in watch(watcher, [first, *shots(one), second, *shots(one)]) if isinstance(each, Watched)]
    assert [frame.source for frame in found] == ["a"] * 20 + ["b"] * 20
    assert [frame[1:7] for frame in found[:20]] == [frame[1:7] for frame in found[20:]]


@pytest.mark.parametrize("chunk", [1, 3])
@pytest.mark.parametrize("step", [1, 2, 3])
@pytest.mark.parametrize("length", [4, 5])
def test_the_delay_is_as_stated(watcher: VideoMemAE, squares: Any, length: int, step: int, chunk: int) -> None:
    fed = 0

    def blocks() -> Iterator[tuple[Tensor, Tensor]]:
        nonlocal fed
        for frame in squares(60):
            fed += 1
            yield torch.from_numpy(frame)[None, None], torch.zeros(1)

    net = {"widths": (4,), "strides": [(1, 2, 2)], "size": None, "epochs": 1, "warmup": 0, "false_alarm_rate": 0.5}
    detector = VideoMemAE(4, length=length, step=4, score_step=step, **net).fit(squares(40))
    detector.scorer_.chunk = chunk
    late = [fed - 1 - frame.frame for frame in detector.follow(Footage("one", blocks()))]
    assert max(late[length : 60 - length - chunk * step]) == detector.delay
    assert max(late) <= detector.delay + length


def test_numbers_are_refused(watcher: VideoMemAE, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher, "unit_", "numbers")
    with pytest.raises(SchemaError, match="fitted on numbers"):
        watch(watcher, [])


@given(st.lists(st.floats(-1e6, 1e6), min_size=1), st.floats(-1e3, 1e3), st.floats(0, 1e3))
def test_the_range_grows_frame_by_frame_as_over_all(errors: list[float], low: float, spread: float) -> None:
    step = Causal(low, low + spread)
    assert [step(error) for error in errors] == causal(np.array(errors), low, low + spread).tolist()


# -------------------------------------------------------------------------------------------------------------- alarms


def frames(scores: Iterable[float], first: int = 0, rate: float = 25.0) -> list[Watched | Mark]:
    nothing = torch.zeros(0)
    return [
        Watched("door", number, number / rate, 0.0, score, 0.0, 1.0, nothing, None)
        for number, score in enumerate(scores, first)
    ]


def told(items: Iterable[Watched | Mark], **rule: Any) -> list[tuple[Any, ...]]:
    found = alarms(items, Rule(**{"above": 10, "below": 5, "release": 0.2, "after": 3, **rule}))
    return [
        (type(event).__name__, event.alarm.number, event.alarm.start.frame, event.alarm.end.frame)
        for event in found
        if isinstance(event, Started | Ended)
    ]


def test_an_alarm_starts_late_and_ends_late() -> None:
    scores = [0, 0, 11, 11, 20, 8, 6, 4, 4, 12, 4, 4, 4, 4, 4, 4, 4, 11]
    assert told(frames(scores)) == [("Started", 1, 2, 4), ("Ended", 1, 2, 9)]
    found = list(alarms(frames(scores), Rule(10, 5, 0.2, 3)))
    events = [item for item in found if isinstance(item, Started | Ended)]
    assert found.index(events[0]) == 4  # before the third high frame
    assert found.index(events[1]) == 1 + 15  # before the sixth low one: 0.2 s after the first
    assert events[1].alarm.peak.frame == 4
    assert events[1].alarm.frames == 8
    assert [item.frame for item in found if isinstance(item, Watched)] == list(range(18))


def test_flicker_is_no_alarm() -> None:
    assert told(frames([11, 11, 0] * 20)) == []
    assert told(frames([11, 11, 0] * 20), after=2, release=0.0) == [
        (name, number + 1, 3 * number, 3 * number + 1) for number in range(20) for name in ("Started", "Ended")
    ]


def test_a_score_at_the_threshold_is_not_above_it() -> None:
    assert told(frames([10] * 20)) == []
    assert told(frames([11] * 3 + [5] * 20)) == [("Started", 1, 0, 2), ("Ended", 1, 0, 2)]


@pytest.mark.parametrize("mark", [Lost("door", "gone"), OPENED, None])
def test_the_end_of_what_is_seen_ends_an_alarm(mark: Mark | None) -> None:
    later = [] if mark is None else [mark, *frames([11] * 4, 20)]
    expected = [("Started", 1, 0, 4), ("Ended", 1, 0, 9)]
    more = [] if mark is None else [("Started", 2, 20, 22), ("Ended", 2, 20, 23)]
    after = 5 if mark is None else 3
    first = told([*frames([11] * 10), *later], after=after)
    assert [first[0][:3], *first[1:]] == [expected[0][:3], *expected[1:], *more]


def test_an_alarm_outlasts_skipped_frames_but_does_not_begin_across_them() -> None:
    assert told([*frames([11, 11]), Skipped(5), *frames([11, 11], 7)]) == []
    assert told([*frames([11] * 4), Skipped(50), *frames([11, 11], 54)]) == [("Started", 1, 0, 2), ("Ended", 1, 0, 55)]


def test_an_error_ends_an_alarm_and_is_raised() -> None:
    def broken() -> Iterator[Watched | Mark]:
        yield from frames([11] * 4)
        raise SourceError("the file is damaged")

    found = alarms(broken(), Rule(10, 5, 1.0, 3))
    assert isinstance(list(itertools.islice(found, 6))[-1], Ended)
    with pytest.raises(SourceError, match="damaged"):
        next(found)


@given(st.lists(st.integers(0, 20), max_size=60), st.integers(1, 4), st.floats(0, 0.3))
def test_alarms_by_their_definition(scores: list[int], after: int, release: float) -> None:
    found = told(frames(scores), after=after, release=release)
    assert [event[:2] for event in found] == [
        (name, number + 1) for number in range(len(found) // 2) for name in ("Started", "Ended")
    ]
    last = -1
    for _, _, start, end in found[1::2]:
        assert start > last
        assert all(score > 10 for score in scores[start : start + after])
        assert start == 0 or scores[start - 1] <= 10 or start - 1 <= last + int(release * 25) + 1
        inside = [score > 5 for score in scores[start : end + 1]]
        longest = max((len(list(run)) for high, run in itertools.groupby(inside) if not high), default=0)
        assert (longest - 1) / 25 < release or longest == 0
        last = end
    if not found:
        assert all(min(scores[at : at + after]) <= 10 for at in range(len(scores) - after + 1))


def test_numbers_go_on() -> None:
    found = [item for item in alarms(frames([11] * 5), Rule(10, 5, 1.0, 3), first=8) if isinstance(item, Ended)]
    assert found[0].alarm.number == 8


def test_the_rule_of_a_detector(watcher: VideoMemAE) -> None:
    rule = rule_of(watcher)
    calibration = watcher.scorer_.calibration
    assert rule == Rule(watcher.threshold_, calibration.threshold(2 * calibration.false_alarm_rate), 1.0, None)
    assert rule.below <= rule.above
    assert (rule.frames(25.0), rule.frames(2.0), rule._replace(after=7).frames(25.0)) == (5, 1, 7)
    for wrong in ({"release": -1.0}, {"after": 0}):
        with pytest.raises(OptionError):
            rule_of(watcher, **wrong)


def test_the_former_names_still_work_and_say_where_they_have_gone() -> None:
    import memae.overlay as former_overlay
    import memae.watching as former
    from memae.watch.overlay import film_writer

    with pytest.warns(FutureWarning, match="memae.watching is now memae.watch.watching; import watch from there"):
        assert former.watch is watch
    with pytest.warns(FutureWarning, match="memae.watch.overlay"):
        assert former_overlay.film_writer is film_writer
    with pytest.raises(AttributeError, match="nothing"):
        former.nothing  # noqa: B018
