"""DAGs are unpaused once, and only those of the fleets asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local.airflow.client import AirflowClient
from local.airflow.schedules import unpause_new


@dataclass
class Dags:
    """Airflow as far as schedules are concerned: DAG id -> paused."""

    folder: Path
    paused: dict[str, bool] = field(default_factory=dict)
    hidden: int = 0

    @property
    def client(self) -> Dags:
        return self

    def dag_ids(self) -> list[str]:
        self.hidden -= 1
        return [] if self.hidden >= 0 else sorted(self.paused)

    def unpause(self, dag: str) -> None:
        self.paused[dag] = False


def dags(folder: Path, *fleets: str, hidden: int = 0) -> Any:
    return Dags(folder, {f"{fleet}_{stage}": True for fleet in fleets for stage in ("ingest", "train")}, hidden)


def test_dags_of_a_fleet_are_unpaused_as_soon_as_airflow_has_them_and_those_of_others_are_not(tmp_path: Path) -> None:
    airflow = dags(tmp_path, "pump", "pump_old", hidden=2)

    unpause_new(airflow, ["pump"])

    assert airflow.paused == {
        "pump_ingest": False, "pump_train": False, "pump_old_ingest": True, "pump_old_train": True,
    }  # fmt: skip


def test_a_dag_that_a_person_paused_stays_paused_and_a_new_fleet_is_unpaused(tmp_path: Path) -> None:
    unpause_new(dags(tmp_path, "pump"), ["pump"])
    later = dags(tmp_path, "pump", "mill")

    unpause_new(later, ["pump", "mill"])

    assert later.paused == {"pump_ingest": True, "pump_train": True, "mill_ingest": False, "mill_train": False}


class Paged(AirflowClient):
    """A client of a server with 250 DAGs that gives at most 100 at once."""

    def get(self, path: str) -> dict[str, Any]:
        offset = int(path.partition("offset=")[2].partition("&")[0])
        return {"dags": [{"dag_id": f"d{n:03}"} for n in range(250)][offset : offset + 100]}


def test_all_dags_are_found_however_many_there_are(tmp_path: Path) -> None:
    assert Paged("http://airflow", "admin", "secret", tmp_path).dag_ids() == [f"d{n:03}" for n in range(250)]
