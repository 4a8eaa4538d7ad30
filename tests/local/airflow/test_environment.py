"""What Airflow's processes, and so all tasks, find in their environment."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from aimaas.settings import Settings, read_settings
from local.airflow.environment import process_environment, settings_variables
from local.airflow.spark_settings import write_spark_submit

FOLDER, DAGS = Path("/srv/airflow"), Path("/srv/dags")


def environment(settings: Settings, **inherited: str) -> dict[str, str]:
    return process_environment(settings, FOLDER, DAGS, 8080, inherited)


def test_a_child_process_reads_the_very_same_settings(offline_settings: Settings) -> None:
    kafka = {"bootstrap.servers": "broker:9093", "security.protocol": "SASL_SSL"}
    settings = replace(offline_settings, kafka=kafka, lake="s3a://bucket/lake")

    assert read_settings(settings_variables(settings)) == settings


def test_the_connections_point_where_the_settings_point(offline_settings: Settings) -> None:
    found = environment(replace(offline_settings, spark_master="spark://cluster:7077"))

    assert json.loads(found["AIRFLOW_CONN_SPARK_DEFAULT"]) == {"conn_type": "spark", "host": "spark://cluster:7077"}
    waking = {"group.id": "aimaas-airflow", "auto.offset.reset": "latest", "enable.auto.commit": "false"}
    assert json.loads(found["AIRFLOW_CONN_KAFKA_DEFAULT"])["extra"] == {**waking, **offline_settings.kafka}
    assert found["AIMAAS_SPARK_POOL"] == "spark", "the pool that the stack makes"


def test_the_callers_own_airflow_settings_win_but_not_his_other_aimaas_settings(offline_settings: Settings) -> None:
    found = environment(
        offline_settings,
        AIRFLOW__DATABASE__SQL_ALCHEMY_CONN="postgresql://db/airflow",
        AIRFLOW__CORE__PARALLELISM="8",
        AIMAAS_HOME="/elsewhere",
        AIRFLOW_HOME="/elsewhere",
    )

    assert found["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] == "postgresql://db/airflow"
    assert found["AIRFLOW__CORE__PARALLELISM"] == "8"
    assert (found["AIMAAS_HOME"], found["AIRFLOW_HOME"]) == (str(offline_settings.home), str(FOLDER))


def test_nothing_is_told_to_anybody_and_no_proxy_stands_between(offline_settings: Settings) -> None:
    found = environment(offline_settings, no_proxy="intranet")

    assert (found["AIRFLOW__USAGE_DATA_COLLECTION__ENABLED"], found["GX_ANALYTICS_ENABLED"]) == ("False", "False")
    assert found["no_proxy"] == found["NO_PROXY"] == "intranet,127.0.0.1,localhost"


def test_the_stacks_own_spark_submit_comes_first_and_hands_its_properties_to_the_real_one(
    offline_settings: Settings, tmp_path: Path
) -> None:
    write_spark_submit(tmp_path / "spark", offline_settings)

    found = process_environment(offline_settings, tmp_path, DAGS, 8080, {"PATH": "/usr/bin"})

    assert found["PATH"].startswith(f"{tmp_path / 'spark' / 'bin'}:")
    script = (tmp_path / "spark" / "bin" / "spark-submit").read_text()
    assert f"--properties-file {tmp_path / 'spark' / 'spark.properties'}" in script
    assert list(Path(found["SPARK_CONF_DIR"]).iterdir()) == [], "the JVM's archive allows empty folders only"
