"""Reading ahead changes when things are made, and nothing else: order, errors and ends stay those of the source."""

import gc
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memae.data.ahead import ahead
from memae.errors import OptionError


def reading():
    return [thread for thread in threading.enumerate() if thread.name == "memae read-ahead"]


@given(st.lists(st.integers()), st.integers(1, 5))
def test_the_items_are_those_of_the_source(items, depth):
    assert list(ahead(iter(items), depth)) == items
    assert not reading()


@given(st.integers(0, 5), st.integers(1, 4))
def test_what_the_source_raises_comes_after_the_items_before_it(count, depth):
    def source():
        yield from range(count)
        raise ValueError("broken")

    found = ahead(source(), depth)
    assert [next(found) for _ in range(count)] == list(range(count))
    with pytest.raises(ValueError, match="broken"):
        next(found)
    assert not reading()


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_no_more_than_depth_items_wait(depth):
    made = []

    def source():
        for number in range(20):
            made.append(number)
            yield number

    found = ahead(source(), depth)
    assert made == []  # nothing before the first is asked for
    for number in found:
        time.sleep(0.01)
        assert len(made) <= number + 1 + depth
    assert len(made) == 20


def test_the_next_item_is_made_while_the_last_one_is_used():
    second = threading.Event()

    def source():
        yield 1
        second.set()
        yield 2

    found = ahead(source())
    next(found)
    assert second.wait(10)  # without being asked for
    found.close()


@pytest.mark.parametrize("way", ["close", "drop"])
def test_the_thread_and_the_source_end_with_their_reader(way):
    closed = threading.Event()

    def source():
        try:
            while True:
                yield 1
        finally:
            closed.set()

    found = ahead(source())
    next(found)
    assert len(reading()) == 1
    if way == "close":
        found.close()
    del found
    gc.collect()
    assert closed.is_set()
    assert not reading()


def test_an_interpreter_that_exits_while_reading_is_not_held_up():
    code = "import itertools\nfrom memae.data.ahead import ahead\nnext(a := ahead(itertools.count()))"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize("depth", [0, -1])
def test_no_depth_is_refused(depth):
    with pytest.raises(OptionError, match="at least 1"):
        ahead([], depth)
