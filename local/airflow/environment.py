"""The environment with which Airflow's programs run well on one small machine.

All settings are `AIRFLOW__…` variables. Variables of the caller take precedence, so `AIRFLOW__DATABASE__SQL_ALCHEMY_CONN` in the
environment gives the same stack a Postgres database. Only values that differ from Airflow's defaults are set, each with a reason.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from aimaas.settings import SIGNING_KEY, VERIFY_KEY, Settings
from local.airflow.spark_settings import spark_variables
from local.ports import HOST

ADMIN = "admin"
PASSWORDS_FILE = "passwords.json"
SPARK_FOLDER = "spark"
SPARK_POOL = "spark"
SPARK_SLOTS = 1  # a Spark task alone fills two cores

# all triggers that start DAGs share one group; the schedule takes records that arrived while no triggerer ran
_WAKING = {"group.id": "aimaas-airflow", "auto.offset.reset": "latest", "enable.auto.commit": "false"}


def settings_variables(settings: Settings) -> dict[str, str]:
    """Return the `AIMAAS_…` variables with which a child process reads the same settings in any working directory."""
    secrets = {
        "AIMAAS_REPLAY_KEY": settings.replay_key,
        SIGNING_KEY: settings.signing_key,
        VERIFY_KEY: settings.verify_key,
    }
    kafka = {f"AIMAAS_KAFKA_{k.upper().replace('.', '_')}": v for k, v in settings.kafka.items()}
    return {
        "AIMAAS_HOME": str(settings.home),
        "AIMAAS_FLEETS": str(settings.fleets),
        "AIMAAS_JARS": str(settings.jars),
        "AIMAAS_LAKE": settings.lake,
        "AIMAAS_MLFLOW_TRACKING_URI": settings.mlflow_tracking_uri,
        "AIMAAS_MLFLOW_ARTIFACTS": settings.mlflow_artifacts,
        "AIMAAS_DATA_DOCS": str(settings.data_docs),
        "AIMAAS_SPARK_MASTER": settings.spark_master,
        "AIMAAS_LOG_FORMAT": settings.log_format,
        "AIMAAS_SPARK_POOL": settings.spark_pool,
        "AIMAAS_MODEL_BYTES": str(settings.model_bytes),
        **({"AIMAAS_DATA_DOCS_URL": settings.data_docs_url} if settings.data_docs_url else {}),
        **{name: key for name, key in secrets.items() if key},
        **kafka,
    }


def airflow_variables(settings: Settings, folder: Path, dags: Path, port: int) -> dict[str, str]:
    """Return the variables of Airflow itself: folder, ports, pace and connections. Paths are absolute."""
    return {
        "AIRFLOW_HOME": str(folder),
        **_core(folder, dags),
        **_api(port),
        **_pace(),
        **_quiet(),
        "AIRFLOW_CONN_KAFKA_DEFAULT": json.dumps({"conn_type": "kafka", "extra": {**_WAKING, **settings.kafka}}),
        "AIRFLOW_CONN_SPARK_DEFAULT": json.dumps({"conn_type": "spark", "host": settings.spark_master}),
    }


def process_environment(
    settings: Settings, folder: Path, dags: Path, port: int, inherited: Mapping[str, str]
) -> dict[str, str]:
    """Return the whole environment of Airflow's processes, and so of every task.

    `inherited` is the caller's environment. Its `AIRFLOW__…` variables override ours. Its `AIMAAS_…` variables do not, because
    `settings` was read from them. The stack's `spark-submit` and the programs of this interpreter come first on PATH.
    """
    kept = {k: v for k, v in inherited.items() if not k.startswith("AIMAAS_")}
    programs = str(Path(sys.executable).parent)
    local = ",".join(filter(None, [inherited.get("no_proxy", ""), HOST, "localhost"]))
    return {
        **airflow_variables(settings, folder, dags, port),
        **kept,
        **settings_variables(settings),
        "AIMAAS_SPARK_POOL": SPARK_POOL,
        "AIRFLOW_HOME": str(folder),
        "SPT_NOENV": "1",  # Airflow renames its processes: leave their environment readable
        **spark_variables(folder / SPARK_FOLDER, settings),
        "PATH": ":".join([str(folder / SPARK_FOLDER / "bin"), programs, inherited.get("PATH", "/usr/bin:/bin")]),
        "NO_PROXY": local,
        "no_proxy": local,
    }


def _core(folder: Path, dags: Path) -> dict[str, str]:
    return {
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PARALLELISM": "2",  # two cores
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
        "AIRFLOW__CORE__HOSTNAME_CALLABLE": "socket.gethostname",  # the default asks a name server
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{ADMIN}:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(folder / PASSWORDS_FILE),
        # two busy cores: reading a DAG file may take its time
        "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "120",
        "AIRFLOW__DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT": "180",
        "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
    }


def _api(port: int) -> dict[str, str]:
    return {
        "AIRFLOW__API__HOST": HOST,
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": f"http://localhost:{port}",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://{HOST}:{port}/execution/",
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
    }


def _pace() -> dict[str, str]:
    """Return the polling intervals of the programs. A gap is the time between dependent tasks."""
    return {
        # a gap of 0.5 s instead of 1.0; a shorter sleep costs more processor time than it saves
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "10",  # a changed fleet file shows in 10 s, not 30
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "30",
        "AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "5",
        # tasks of a killed scheduler are adopted soon after the next start
        "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "20",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "90",
    }


def _quiet() -> dict[str, str]:
    return {
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
        "AIRFLOW__DAG_PROCESSOR__PRINT_STATS_INTERVAL": "600",
        "AIRFLOW__API__EXPOSE_CONFIG": "False",
        "GX_ANALYTICS_ENABLED": "False",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
    }
