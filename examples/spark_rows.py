"""Scores Parquet files with Spark: `python examples/spark_rows.py model.memae in/ out/`; needs pyspark and Java 17."""

import os
import sys

from memae.parallel import Scoring

model, source, output = sys.argv[1:]
os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # else workers take whatever python3 there is


def main() -> None:
    """Reads, scores and writes."""
    from pyspark.sql import SparkSession

    spark = SparkSession.builder.master("local[2,4]").getOrCreate()  # 4: a task whose worker dies is tried again
    rows = spark.read.parquet(source)
    score = Scoring(model, keep=["id"])
    rows.mapInPandas(score.each, score.schema(rows)).write.mode("overwrite").parquet(output)
    print(spark.read.parquet(output).where("is_anomaly").count(), "rows are flagged")


if __name__ == "__main__":
    main()
