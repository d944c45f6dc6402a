"""Mixed tables, as users have them: with categories, missing values, many zeros, repeated rows, few rows.

Those of KEEL are data that people have collected. Where none of them has what is wanted, a table is made from one of
them, or generated, by a recipe that is the same in every run.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from reproduction import datasets
from reproduction.datasets import Frame
from reproduction.protocol import MOST_ROWS


@dataclass(frozen=True)
class Table:
    """One table.

    Args:
        read: reads or generates it.
        recipe: how it was made; empty for a table of KEEL as it is.
        most: maximum number of training rows.
    """

    read: Callable[[], Frame]
    recipe: str = ""
    most: int = MOST_ROWS


def with_gaps(name: str, share: float = 0.2) -> Frame:
    """A table of KEEL that misses a share of its values, at random."""
    columns, labels = datasets.keel(name)
    missing = np.random.default_rng(0).random(columns.shape) < share
    return Frame(columns.astype(object).mask(missing).infer_objects(), labels)


def sparse(rows: int = 1_000, anomalies: int = 100, words: int = 1_200, topics: int = 5) -> Frame:
    """Counts of words: each topic has 60 of its own, a row of the topic has each of them with probability 0.4.

    Any other word is in one row of 500. An anomaly has two topics, with probability 0.2 for each of their words.
    """
    random = np.random.default_rng(0)
    own = random.permutation(words)[: 60 * topics].reshape(topics, 60)
    values = (random.random((rows + anomalies, words)) < 0.002).astype(float)
    for index, row in enumerate(values):
        chosen = random.choice(topics, 1 if index < rows else 2, replace=False)
        row[own[chosen].ravel()] += random.random(60 * len(chosen)) < 0.4 / len(chosen)
    values *= random.integers(1, 4, values.shape)
    frame = pd.DataFrame(values, columns=[f"word {number}" for number in range(words)])
    return Frame(frame, (np.arange(len(frame)) >= rows).astype(np.int64))


def repeated(rows: int = 2_000, different: int = 200, anomalies: int = 100, missing: float = 0.1) -> Frame:
    """Rows drawn from 200 different ones, of which one value in ten is missing; four numbers and two categories.

    All columns depend on one hidden number. An anomaly takes each of its columns from another of the different rows.
    """
    random = np.random.default_rng(0)
    hidden = random.normal(size=(different, 1))
    numbers = np.round(hidden @ random.normal(size=(1, 4)) + 0.3 * random.normal(size=(different, 4)), 1)
    ranks = (hidden + 0.3 * random.normal(size=(different, 2))).argsort(0).argsort(0)
    frame = pd.DataFrame(numbers, columns=list("abcd"))
    frame["size"] = np.array(["small", "middle", "large"])[ranks[:, 0] * 3 // different]
    frame["colour"] = np.array(["red", "green", "blue", "white"])[ranks[:, 1] * 4 // different]
    frame = frame.mask(random.random(frame.shape) < missing)
    normal = frame.iloc[random.integers(different, size=rows)]
    odd = pd.DataFrame({name: frame[name].to_numpy()[random.permutation(different)[:anomalies]] for name in frame})
    return Frame(pd.concat([normal, odd], ignore_index=True), np.repeat([0, 1], [rows, anomalies]))


TABLES = {
    **{name: Table(partial(datasets.keel, name)) for name in datasets.KEEL},
    "zoo-3-few": Table(partial(datasets.keel, "zoo-3"), "zoo-3 with 20 rows for training", 20),
    "crx-gaps": Table(partial(with_gaps, "crx"), "crx without 20 % of its values, at random"),
    "sparse": Table(
        sparse,
        "generated: 1,200 counts of words; each of 5 topics has 60 words of its own, which a row of the topic has with "
        "probability 0.4, and any word is in one row of 500; anomalies mix two topics (0.2, tried first, left almost "
        "all detectors at .5)",
    ),
    "repeated": Table(
        repeated,
        "generated: rows drawn from 200 different ones, of which one value in ten is missing; all columns depend on "
        "one hidden number, and those of an anomaly come from different rows",
    ),
}
"""The mixed tables by name."""
