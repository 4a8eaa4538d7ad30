"""Land: copy new records of the events and outcomes topics into bronze, unchanged and exactly once.

The job starts from the offsets in bronze, or from the ends in the note of bronze's newest commit if they are higher (transaction
markers are offsets without a record). So there is no checkpoint that could be lost. A landing is one Delta commit with the next
number: a killed landing has written nothing, and of two landings at once one fails.

A topic that was deleted and created again has another id. It is landed from its beginning under a label of its own
(`aimaas.admission.journal`). If a topic is created again while the job reads it, the job undoes its commit.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import reduce
from typing import TYPE_CHECKING

from aimaas.errors import LakeError
from aimaas.fleet import FleetSpec
from aimaas.kafka import begin_offsets, end_offsets
from aimaas.kafka.failures import check_granted
from aimaas.kafka.rights import on_topic
from aimaas.kafka.topic_settings import check_settings
from aimaas.kafka.topic_watch import TopicMadeAnewError
from aimaas.lake import Held, Offsets, held, offsets_json, offsets_of
from aimaas.lake.erased_records import Forgotten, forgotten, passed_over
from aimaas.settings import Settings
from aimaas.topics import topic_names
from spark_jobs.commits import commit, note_of, undo
from spark_jobs.job import Job, Report, parser, run
from spark_jobs.kafka_options import connection_options, partitions_json
from spark_jobs.landing.gaps import record_gaps, told
from spark_jobs.landing.landed_topics import find_topics, kafka_names, label_column, tell_left_behind
from spark_jobs.landing.large_records import CUT_COLUMNS, read_by_client, scan

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

APP_ID = "land"


@dataclass(frozen=True)
class Landing:
    """The offsets to read: from `start` up to `end` of each partition with new ones. From `lost` up to `start` is a gap.

    If nothing is left after a gap, `start` equals `end`.
    """

    start: Offsets
    end: Offsets
    lost: Offsets = field(default_factory=dict)


def plan_landing(landed: Offsets, begin: Offsets, end: Offsets, accept_loss: bool = False) -> Landing:
    """Decide what to read, given the offset after the newest landed one, and the begins and ends of the topics.

    A new partition is read from its beginning. If an old topic has lost its oldest records by then, that is a gap, but no reason
    to stop. Raises LakeError if records that came since the last landing are gone (with `accept_loss` they are skipped), and if a
    topic ends before the newest landed offset.
    """
    start: Offsets = {}
    lost: Offsets = {}
    for at, stop in end.items():
        start[at] = landed.get(at, 0)
        where = f"topic {at[0]}, partition {at[1]}"
        if start[at] > stop:
            raise LakeError(
                f"{where}: landed up to offset {start[at] - 1}, the topic ends at {stop}: the cluster has lost the end of its log; "
                "bring back the broker that holds it, or delete the topic and create it again with `aimaas topics create`"
            )
        if start[at] < begin[at]:
            if at in landed and not accept_loss:
                raise LakeError(
                    f"{where}: offsets {start[at]} to {begin[at] - 1} were deleted by retention before they were landed; "
                    "run the land job with --accept-loss to continue without them, and raise topics.retention_days"
                )
            lost[at], start[at] = start[at], begin[at]
    new = {at: stop for at, stop in end.items() if stop > start[at] or at in lost}
    return Landing({at: start[at] for at in new}, new, lost)


def landed_offsets(seen: Held, erased: Forgotten) -> Offsets:
    """The offsets after the newest landed ones: bronze's ends, erased rows included, or the ends that its newest note has."""
    bronze, noted = passed_over(seen.offsets, erased), offsets_of(note_of(seen) or "{}")
    return {at: max(bronze.get(at, 0), noted.get(at, 0)) for at in {*bronze, *noted}}


def ask_topics(settings: Settings, fleet: FleetSpec) -> tuple[Offsets, Offsets]:
    """Begins and ends of the partitions of both topics, as readers of committed records see them. Raises KafkaError."""
    names = topic_names(fleet)
    topics = (names.events, names.outcomes)
    check_granted(settings, f"land fleet {fleet.fleet}", *(on_topic("Read", topic) for topic in topics))
    begin = {(t, p): offset for t in topics for p, offset in begin_offsets(settings, t).items()}
    end = {(t, p): offset for t in topics for p, offset in end_offsets(settings, t).items()}
    return begin, end


def read_topics(spark: SparkSession, settings: Settings, landing: Landing, polled_records: int = 500) -> DataFrame:
    """The records of a landing as rows of bronze; `records` of them are unpacked at once."""
    records = (
        spark.read.format("kafka")
        .options(**connection_options(settings))
        .option("assign", partitions_json(kafka_names(landing.end)))
        .option("startingOffsets", offsets_json(kafka_names({at: landing.start[at] for at in landing.end})))
        .option("endingOffsets", offsets_json(kafka_names(landing.end)))
        .option("includeHeaders", True)
        .option("kafka.max.poll.records", polled_records)
        .load()
    )
    return records.selectExpr(
        label_column(topic for topic, _ in landing.end), "partition", "offset", "timestamp AS broker_ts", "key", "value", "headers",
        *(f"CAST(NULL AS {kind}) AS {name}" for name, kind in CUT_COLUMNS.items()), "CAST(timestamp AS DATE) AS day",
    )  # fmt: skip


def read_landing(job: Job, landing: Landing, now: datetime) -> DataFrame:
    """The records of a landing as rows of bronze; large ones are cut. Raises KafkaError at an unreadable batch."""
    settings, fleet = job.settings, job.fleet
    found = scan(settings, fleet, landing.start, landing.end)
    if found.skipped:
        first, behind = ({at: gap[i] for at, gap in found.skipped.items()} for i in (0, 1))
        record_gaps(settings, fleet, first, behind, now)
    others = {at: stop for at, stop in landing.end.items() if at not in found.large}
    frames = []
    if others:
        frames.append(read_topics(job.spark, settings, Landing(landing.start, others), found.polled_records))
    if found.large:
        large = {at: landing.end[at] for at in found.large}
        frames.append(read_by_client(job.spark, settings, fleet, landing.start, large))
    return reduce(lambda a, b: a.unionByName(b), frames)


def without(spark: SparkSession, records: DataFrame, erased: Forgotten, start: Offsets) -> DataFrame:
    """The records without those that `aimaas forget` erased; only erased records from `start` on are looked up."""
    from pyspark.sql import functions as f

    gone = [(*at, o) for at, offsets in erased.items() if at in start for o in offsets[offsets >= start[at]].tolist()]
    if not gone:
        return records
    places = spark.createDataFrame(gone, "topic string, partition int, offset bigint")
    return records.join(f.broadcast(places), ["topic", "partition", "offset"], "left_anti")


def land(job: Job) -> Report:
    """Bring bronze up to the topics' ends; returns offsets read (transaction markers have offsets too) and lost ones, if any."""
    settings, fleet, now = job.settings, job.fleet, datetime.now(UTC)
    names = topic_names(fleet)
    check_settings(settings, fleet, (names.events, names.outcomes))
    topics = find_topics(settings, fleet, now)
    begin, end = (topics.labelled(offsets) for offsets in ask_topics(settings, fleet))
    seen = held(settings, fleet.fleet, "bronze", APP_ID)
    erased = forgotten(settings, fleet.fleet)
    landed = landed_offsets(seen, erased)
    landing = plan_landing(landed, begin, end, getattr(job.arguments, "accept_loss", False))
    left = tell_left_behind(settings, fleet, topics, landed, now)
    deleted: Report = {"deleted_from": left} if left else {}
    if not landing.end:
        return {"offsets": 0} | deleted
    if landing.lost:
        record_gaps(settings, fleet, landing.lost, landing.start, now)
    records = without(job.spark, read_landing(job, landing, now), erased, landing.start)
    commit(settings, fleet, "bronze", APP_ID, records, seen, offsets_json(landed | end))
    try:
        topics.check(settings)
    except TopicMadeAnewError:
        undo(settings, fleet, "bronze", seen)
        raise
    report: Report = {"offsets": sum(landing.end[at] - landing.start[at] for at in landing.end)} | deleted
    return report | ({"lost": told(landing.lost, landing.start)} if landing.lost else {})


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; returns the exit code."""
    arguments = parser("land", __doc__)
    arguments.add_argument(
        "--accept-loss", action="store_true", help="continue if retention deleted records before landing"
    )
    return run("land", arguments.parse_args(argv), land)


if __name__ == "__main__":
    sys.exit(main())
