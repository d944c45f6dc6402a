"""Parallel training: two processes of one thread each compared with one process of two threads, wall time."""

import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import torch

from measurements.speed.networks import SPECS, built, step
from recording.records import figure

SECONDS = 10.0
ROUNDS = 3


def measure() -> dict[str, Any]:
    """Ratio of samples a second of two processes to those of one with two threads, with the recipes' batch sizes."""
    figures, cases = {}, {}
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        for name, batch in (("kddcup", 1024), ("mnist", 64), ("cifar10", 64)):
            ratios, rates = [], []
            for _ in range(ROUNDS):
                alone = pool.submit(rate, name, batch, 2).result()
                together = sum(each.result() for each in [pool.submit(rate, name, batch, 1) for _ in range(2)])
                ratios.append(together / alone)
                rates.append({"two_threads": round(alone), "two_processes": round(together)})
            figures[f"speed/together/{name}/two_processes_vs_two_threads"] = figure(
                statistics.median(ratios), statistics.stdev(ratios), ROUNDS
            )
            cases[name] = {"batch": batch, "samples_a_second": rates}
    return {"figures": figures, "cases": cases}


def rate(name: str, batch: int, threads: int) -> float:
    """Training samples a second of one process."""
    torch.set_num_threads(threads)
    spec = SPECS[name]
    learn = step(built(spec), torch.rand(batch, *spec.shape))
    learn()
    began, steps = time.perf_counter(), 0
    while time.perf_counter() - began < SECONDS:
        learn()
        steps += 1
    return steps * batch / (time.perf_counter() - began)
