"""All DAGs of all fleets, for a three-line DAG file in your own repository."""

from __future__ import annotations

from fleet_dags.fleet_files import readable_fleets
from fleet_dags.ingest import ingest_dag
from fleet_dags.maintenance import maintenance_dag
from fleet_dags.prepare import prepare_dag
from fleet_dags.rebuild import rebuild_dag
from fleet_dags.train import train_dag

DAGS = (ingest_dag, prepare_dag, train_dag, rebuild_dag, maintenance_dag)


def declare_dags() -> None:
    """Declare the DAGs of the fleets in `AIMAAS_FLEETS`, as part of the DAG file that calls this.

    Fleet files with mistakes are left out, so that they do not hide the DAGs of other fleets.
    `fleet_dags.fleet_files.broken_fleets` returns their mistakes.
    """
    for fleet in readable_fleets():
        for declare in DAGS:
            declare(fleet)
