"""A small Spark job that makes the JVM load the classes that the real jobs need. Only `spark_archive.py` runs it.

spark-submit runs it with one argument, a folder for its table.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from aimaas.settings import read_settings
from spark_jobs.session import spark_session

if TYPE_CHECKING:
    import pyarrow as pa

_KAFKA = (
    "org.apache.spark.sql.kafka010.KafkaSourceProvider",
    "org.apache.spark.sql.kafka010.KafkaBatch",
    "org.apache.spark.sql.kafka010.KafkaBatchPartitionReader",
    "org.apache.spark.sql.kafka010.KafkaOffsetReaderAdmin",
    "org.apache.spark.sql.kafka010.consumer.KafkaDataConsumer",
    "org.apache.kafka.clients.consumer.KafkaConsumer",
    "org.apache.kafka.clients.admin.KafkaAdminClient",
)


def unchanged(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Pass batches on, so that the JVM loads the Arrow classes."""
    yield from batches


def main(table: str) -> None:
    """Write a Delta table, append to it, read it through Arrow, windows, joins and aggregates."""
    from pyspark.sql import Window
    from pyspark.sql import functions as f

    spark = spark_session(read_settings(), "archive classes")
    rows = spark.range(1000).select(
        f.col("id"), (f.col("id") % 7).cast("string").alias("device_id"), f.current_timestamp().alias("ts"),
        f.rand(1).alias("value"), f.lit("a").alias("topic"), (f.col("id") % 2).cast("int").alias("partition"),
    )  # fmt: skip
    through = rows.repartition("device_id").sortWithinPartitions("device_id", "id").mapInArrow(unchanged, rows.schema)
    for version, mode in enumerate(("append", "append", "overwrite")):
        writer = through.write.format("delta").mode(mode).partitionBy("topic", "partition")
        writer.option("txnAppId", "archive").option("txnVersion", version).save(table)
    read = spark.read.format("delta").load(table)
    window = Window.partitionBy("device_id").orderBy("id")
    ends = read.groupBy("device_id").agg(f.max("id").alias("last"), f.count("*").alias("n"), f.collect_list("value"))
    joined = read.join(ends, "device_id", "left").withColumn("begins", f.lag("id").over(window).isNull())
    joined.filter(f.col("begins") | (f.col("last") > 10)).orderBy("id").limit(10).collect()
    read.select("device_id", f.array("value", "value").alias("features")).write.parquet(f"{table}.parquet")
    _load(spark)
    spark.stop()


def _load(spark: Any) -> None:
    """Load the classes that otherwise only a broker would load."""
    loader = spark._jvm.java.lang.Thread.currentThread().getContextClassLoader()
    for name in _KAFKA:
        spark._jvm.java.lang.Class.forName(name, True, loader)


if __name__ == "__main__":
    main(sys.argv[1])
