"""The search for the nearest kept samples, compared with its matrix product, faiss and scikit-learn."""

import importlib.util
import time
from collections.abc import Callable
from typing import Any

import torch
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from measurements.timing import interleaved, ratio
from memae.nearest import Finder

SAMPLES, FEATURES, QUERIES, NEAREST = 10_000, 200, 2048, 5
ROUNDS = 15


def measure() -> dict[str, Any]:
    """Standard normal samples and queries, float32; without faiss its figure is left out."""
    torch.manual_seed(0)
    samples, queries = torch.randn(SAMPLES, FEATURES), torch.randn(QUERIES, FEATURES)
    finder = Finder(samples)
    scikit = NearestNeighbors(n_neighbors=NEAREST, algorithm="brute").fit(samples.numpy())
    transposed, product = samples.T.contiguous(), torch.empty(QUERIES, SAMPLES)
    variants: dict[str, Callable[[], object]] = {
        "product": lambda: torch.mm(queries, transposed, out=product),
        "memae": lambda: finder(queries, NEAREST),
        "scikit-learn": lambda: scikit.kneighbors(queries.numpy()),
    }
    if importlib.util.find_spec("faiss"):
        variants["faiss"] = faiss_flat(samples, queries)
    times = interleaved(variants, ROUNDS, time.process_time)
    figures = {"speed/kept_memory/share_of_bound": ratio(times["product"], times["memae"])}
    if "faiss" in times:
        figures["speed/kept_memory/vs_faiss_flat"] = ratio(times["faiss"], times["memae"])
    return {
        "figures": figures,
        "size": {"samples": SAMPLES, "features": FEATURES, "queries": QUERIES, "nearest": NEAREST},
        "note": "" if "faiss" in times else "faiss is not installed, so it was not measured",
        "times": {name: timing.as_json() for name, timing in times.items()},
    }


def faiss_flat(samples: Tensor, queries: Tensor) -> Callable[[], object]:
    """The search of faiss' exact index, in one thread."""
    import faiss  # noqa: PLC0415 (optional)

    faiss.omp_set_num_threads(1)
    index = faiss.IndexFlatL2(FEATURES)
    index.add(samples.numpy())
    return lambda: index.search(queries.numpy(), NEAREST)
