"""Scores Parquet files with Ray Data: `python examples/ray_rows.py model.memae in/ out/`; needs ray[data]."""

import sys

from memae.parallel import Scoring

model, source, output = sys.argv[1:]


def main() -> None:
    """Reads, scores and writes."""
    import ray

    rows = ray.data.read_parquet(source).repartition(20)  # else small files become one block, and one worker works
    scored = rows.map_batches(Scoring(model, keep=["id"]), batch_format="pandas", batch_size=None)
    scored.write_parquet(output, mode="overwrite")  # else the same job again doubles the rows


if __name__ == "__main__":
    main()
