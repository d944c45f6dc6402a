"""Scores Parquet files as they arrive, with Spark: `python examples/spark_stream.py model.memae in/ out/`.

Stopped or killed and started again, it goes on where it was: Spark reads each row from out/ once. Needs pyspark
and Java 17.
"""

import os
import sys

from memae.parallel import Scoring

model, source, output = sys.argv[1:]
os.environ.setdefault("PYSPARK_PYTHON", sys.executable)


def main() -> None:
    """Scores what is there, a file at a time; without the trigger it would wait for more."""
    from pyspark.sql import SparkSession

    spark = SparkSession.builder.master("local[2,4]").getOrCreate()
    schema = spark.read.parquet(source).schema
    rows = spark.readStream.schema(schema).option("maxFilesPerTrigger", 1).parquet(source)
    score = Scoring(model, keep=["id"])
    scored = rows.mapInPandas(score.each, score.schema(rows)).writeStream.trigger(availableNow=True)
    scored.option("checkpointLocation", f"{output}.progress").start(output, format="parquet").awaitTermination()


if __name__ == "__main__":
    main()
