"""Readings of a pump's sensors: finds faults in today's data, and checks later days for drift.

    python examples/sensor_table.py                                  # generated readings
    python examples/sensor_table.py normal.csv today.csv later.csv   # your own: a column per sensor, a row per second

One row is scored per minute. If a later day has drifted from the calibration, the threshold is set anew.
"""

import sys

import numpy as np
import pandas as pd

from memae import TabularMemAE

WINDOW = 60  # readings per row


def readings(minutes, seed, *, worn=(0, 0), offset=0.0):
    """Sensors that depend on the load; in minutes worn[0] to worn[1] the bearing is worn; `offset` shifts a sensor."""
    rng = np.random.default_rng(seed)
    seconds = minutes * 60
    load = 50 + 20 * np.sin(np.arange(seconds) / 1900 + seed) + 8 * np.sin(np.arange(seconds) / 233)
    speed = 12 * load + rng.normal(0, 6, seconds)
    wear = np.zeros(seconds)
    wear[worn[0] * 60 : worn[1] * 60] = 1.0
    return pd.DataFrame({
        "load": load + rng.normal(0, 1, seconds),
        "speed": speed,
        "pressure": 2 + load / 20 + rng.normal(0, 0.1, seconds),
        "temperature": 30 + pd.Series(load).ewm(span=120).mean() / 2 + offset + rng.normal(0, 0.3, seconds),
        "vibration": speed / 200 + wear + rng.normal(0, 0.3 + wear / 5, seconds),  # in its range even when worn
    })  # fmt: skip


def windows(table):
    """One row for each window of readings: mean and standard deviation of each sensor.

    Windows do not overlap: rows that share readings would be alike, and make the threshold look safer than it is.
    """
    parts = table.groupby(np.arange(len(table)) // WINDOW)
    return parts.mean().add_suffix(" level").join(parts.std().add_suffix(" spread"))


def stretches(flags):
    """First and last row of each run of flagged rows."""
    edges = np.flatnonzero(np.diff([0, *flags.astype(int), 0]))
    return list(zip(edges[::2], edges[1::2] - 1, strict=True))


def main(normal, today, *later):
    """Fits on normal readings, finds faults today, and checks later days for drift."""
    detector = TabularMemAE(false_alarm_rate=0.01).fit(windows(normal))
    rows = windows(today)
    flagged = stretches(detector.predict(rows) == -1)
    for first, last in (each for each in flagged if each[1] > each[0]):
        evidence = detector.explain(rows, only=range(first, last + 1))
        shares = pd.DataFrame([{part.column: part.share for part in each.contributions} for each in evidence])
        reasons = shares.mean().sort_values(ascending=False).head(2)
        causes = " and ".join(f"{column} ({share:.0%})" for column, share in reasons.items())
        print(f"minutes {first} to {last} are unusual, because of {causes}")
    print(f"single minutes: {sum(first == last for first, last in flagged)} of {len(rows)}")
    for day in later:
        rows = windows(day)
        drift = detector.drift(rows)
        print(f"later: {drift.sentence}")
        if drift.verdict != "like":
            detector.recalibrate(detector.anomaly_score(rows[::2]))  # no refitting; the other half is for checking
            print(f"recalibrated: {detector.drift(rows[1::2]).sentence}")


if __name__ == "__main__":
    generated = [readings(3000, seed=1), readings(600, seed=2, worn=(300, 340))]
    generated += [readings(600, seed=4), readings(600, seed=3, offset=5.0)]
    main(*(map(pd.read_csv, sys.argv[1:]) if len(sys.argv) > 2 else generated))
