"""The engines as users run them: a folder of Parquet files is read, scored by two workers, and written."""

import importlib.util
import os
import shutil
import sys
from abc import ABC, abstractmethod
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import pandas as pd
import pyarrow.parquet as pq
import pytest


class Engine(ABC):
    """An engine that runs until it is closed."""

    needs: tuple[str, ...]

    def __init__(self) -> None:
        self._open = ExitStack()

    def __enter__(self) -> Self:
        lost = [name for name in self.needs if importlib.util.find_spec(name) is None]
        if lost:
            pytest.skip(f"{lost[0]} is not installed; `make scale` installs it")
        self.start(self._open)
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    @abstractmethod
    def start(self, closing: ExitStack) -> None:
        """Starts two workers."""

    @abstractmethod
    def run(self, source: Path, score: Any, output: Path) -> None:
        """Scores a folder into another."""

    def scored(self, source: Path, score: Any, output: Path) -> pd.DataFrame:
        """The rows that are written."""
        self.run(source, score, output)
        return pd.concat(
            [pq.ParquetFile(path).read().to_pandas() for path in sorted(output.rglob("*.parquet"))], ignore_index=True
        )


class Spark(Engine):
    needs = ("pyspark",)

    def start(self, closing: ExitStack) -> None:
        if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
            pytest.skip("Spark needs Java 17: apt-get install openjdk-17-jre-headless")
        from pyspark.sql import SparkSession

        os.environ["PYSPARK_PYTHON"] = sys.executable
        builder = SparkSession.builder.master("local[2,4]").config("spark.ui.enabled", False)
        self.session = builder.config("spark.sql.shuffle.partitions", 2).getOrCreate()
        self.session.sparkContext.setLogLevel("OFF")
        closing.callback(self.session.stop)

    def run(self, source: Path, score: Any, output: Path) -> None:
        rows = self.session.read.option("mergeSchema", True).parquet(str(source))
        rows.mapInPandas(score.each, score.schema(rows)).write.mode("overwrite").parquet(str(output))


class Ray(Engine):
    needs = ("ray",)

    def start(self, closing: ExitStack) -> None:
        import ray

        for tries in range(5):
            try:
                ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=200 * 2**20)
                break
            except Exception:  # after 30 s, which it cannot be told to prolong, on a busy machine
                ray.shutdown()
                if tries == 4:
                    raise
        ray.data.DataContext.get_current().enable_progress_bars = False
        closing.callback(ray.shutdown)

    def run(self, source: Path, score: Any, output: Path) -> None:
        import ray

        rows = ray.data.read_parquet(str(source)).repartition(4)
        scored = rows.map_batches(score, batch_format="pandas", batch_size=None)
        scored.write_parquet(str(output), mode="overwrite")


class Dask(Engine):
    needs = ("dask.dataframe", "distributed") if importlib.util.find_spec("dask") else ("dask",)

    def start(self, closing: ExitStack) -> None:
        import dask
        from distributed import Client, LocalCluster

        closing.enter_context(dask.config.set({"distributed.comm.timeouts.connect": "120s"}))
        cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
        closing.enter_context(cluster)
        closing.enter_context(Client(cluster, timeout=120))

    def run(self, source: Path, score: Any, output: Path) -> None:
        import dask.dataframe

        rows = dask.dataframe.read_parquet(sorted(map(str, source.glob("*.parquet"))))
        rows.map_partitions(score, meta=score.meta(rows)).to_parquet(str(output))


ENGINES: dict[str, type[Engine]] = {"dask": Dask, "ray": Ray, "spark": Spark}
