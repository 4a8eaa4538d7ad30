"""A fleet with two lakes: one is worked on undisturbed by the session of the tests, the other as the test wants it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from aimaas.kafka import create_topics, delete_topics
from aimaas.lake import Table, read_table, table_path, table_version
from aimaas.settings import Settings
from aimaas.topics import topic_specs
from aimaas.training.training_set import read_training_set
from spark_jobs.features import features
from spark_jobs.job import Job
from spark_jobs.land import land
from spark_jobs.rebuild import rebuild
from spark_jobs.rescore import rescore
from tests.lake_faults.processes import Ended, Running, run_job, start_job, write_fleet
from tests.published import admit, gold
from tests.spark_jobs.conftest import Plant, small_fleet

JOBS: dict[str, Callable[[Job], Any]] = {
    "land": land, "admit": admit, "gold": gold, "features": features, "rebuild": rebuild, "rescore": rescore,
}  # fmt: skip
TO_GOLD = ("land", "admit", "gold")
DEVICES = [f"d{i}" for i in range(12)]
TABLES: tuple[Table, ...] = (
    "bronze", "silver", "outcomes", "quarantine", "admission_state", "gold", "gold_state",
)  # fmt: skip
_LIMITS = {"record_bytes": 400, "skew_s": 60, "lateness_s": 1e9}


@dataclass
class Twins:
    """The undisturbed plant, and the settings of the other lake; `asked` is what a job is given beside the fleet."""

    plant: Plant
    other: Settings
    asked: dict[str, dict[str, Any]] = field(default_factory=dict)

    def send(self, first: int, count: int, failing: Sequence[str]) -> None:
        """Events of each device, `count` from `first` on; some late, doubled or broken; and outcomes of those that fail."""
        late = [(d, self.plant.event(d, first)) for d in DEVICES[::3]]
        seqs = range(first, first + count)
        events = [(d, e) for s in seqs for d in DEVICES if (d, e := self.plant.event(d, s)) not in late]
        self.plant.send(*events, *late, events[-1], ("d1", b"{"))
        self.plant.send(*((d, self.plant.outcome(d, first + count)) for d in failing), topic="outcomes")

    def history(self) -> None:
        """Both lakes hold the same first events up to gold, and as many have come since."""
        self.send(0, 15, [])
        self.undisturbed(*TO_GOLD)
        shutil.copytree(self.plant.settings.lake, self.other.lake, dirs_exist_ok=True)
        self.send(15, 15, DEVICES[:8])

    def undisturbed(self, *jobs: str) -> None:
        """Run jobs on the first lake."""
        for job in jobs:
            JOBS[job](self.plant.job(job, **self.arguments(job, self.plant.settings)))

    def start(self, job: str, **environ: str) -> Running:
        """Start a job on the other lake."""
        return start_job(self.other, self.plant.fleet, job, *self._given(job), **environ)

    def run(self, job: str) -> Ended:
        """Run a job on the other lake to its end, in a process of its own."""
        return run_job(self.other, self.plant.fleet, job, *self._given(job))

    def run_again(self, *jobs: str) -> None:
        """Run jobs on the other lake on the session of the tests, which starts quicker; all must succeed."""
        other = Plant(self.plant.fleet, self.other, self.plant.session)
        for job in jobs:
            JOBS[job](other.job(job, **self.arguments(job, self.other)))

    def arguments(self, job: str, settings: Settings) -> dict[str, Any]:
        """What a job on a lake takes beside the fleet."""
        return {"out": str(set_of(settings))} if job == "features" else self.asked.get(job, {})

    def _given(self, job: str) -> list[str]:
        given = self.arguments(job, self.other)
        return [part for name, value in given.items() if value for part in (f"--{name}", str(value))]

    def folder(self, table: Table) -> Path:
        """Folder of a table of the other lake."""
        return Path(table_path(self.other, self.plant.fleet.fleet, table))

    def version(self, table: Table) -> int | None:
        """Version of a table of the other lake."""
        return table_version(self.other, self.plant.fleet.fleet, table)

    def assert_equal(self, *tables: Table) -> None:
        """The two lakes hold the same rows, in these tables or in all."""
        for table in tables or TABLES:
            mine, other = (self._rows(settings, table) for settings in (self.plant.settings, self.other))
            assert mine == other, table
            assert mine or table == "outcomes"

    def assert_same_set(self) -> None:
        """Both lakes have the same training set."""
        mine, other = (read_training_set(set_of(s)).info for s in (self.plant.settings, self.other))
        assert mine.splits["train"].rows > 0
        assert (mine.digest, mine.fit, mine.splits) == (other.digest, other.fit, other.splits)

    def _rows(self, settings: Settings, table: Table) -> list[str]:
        rows = read_table(settings, self.plant.fleet.fleet, table)
        names = sorted(rows.column_names)
        return sorted(repr([row[name] for name in names]) for row in rows.to_pylist())


def set_of(settings: Settings) -> Path:
    """Folder of the lake's training set."""
    return Path(settings.lake) / "set"


@pytest.fixture
def twins(settings: Settings, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Twins]:
    fleet, fleets = small_fleet(limits=_LIMITS), tmp_path / "fleets"
    write_fleet(fleets, fleet)
    settings = replace(settings, fleets=fleets)
    other = replace(settings, home=tmp_path / "other", lake=str(tmp_path / "other" / "lake"))
    create_topics(settings, topic_specs(fleet))
    yield Twins(Plant(fleet, settings, lambda: request.getfixturevalue("spark")), other)
    delete_topics(settings, [spec.name for spec in topic_specs(fleet)])
