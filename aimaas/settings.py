"""The one reader of the environment.

A value is looked up in the environment first, then in `<home>/stack.env`, then in the defaults below. The local stack writes
that file, so that every command finds the running stack.

| variable | meaning | default |
|---|---|---|
| AIMAAS_HOME | folder for everything that runs | `var` |
| AIMAAS_FLEETS | folder of fleet files | `fleets` |
| AIMAAS_JARS | folder of the jars that `make setup` fetches | `jars` |
| AIMAAS_LAKE | root of the Delta tables, a path or a URI that Spark can write | `<home>/lake` |
| AIMAAS_MLFLOW_TRACKING_URI | MLflow's tracking and registry store | SQLite below `<home>/mlflow` |
| AIMAAS_MLFLOW_ARTIFACTS | store of new MLflow experiments; models are loaded only from there | `<home>/mlflow/artifacts` |
| AIMAAS_DATA_DOCS | folder of Great Expectations' Data Docs | `<home>/data_docs` |
| AIMAAS_DATA_DOCS_URL | HTTP address of that folder, for links to its pages | none: links are `file://` |
| AIMAAS_SPARK_MASTER | Spark master of sessions without spark-submit | `local[2]` |
| AIMAAS_SPARK_POOL | Airflow pool of the Spark tasks; the pool must exist | `default_pool` |
| AIMAAS_KAFKA_<NAME> | a librdkafka setting (`…_SECURITY_PROTOCOL` is `security.protocol`) | `localhost:9092` |
| AIMAAS_API_KEY | keys that the HTTP service accepts in `X-API-Key`, separated by commas; empty: anyone may call | empty |
| AIMAAS_REPLAY_KEY | proves that a replay wrote the headers of a copy; scorers, replays and `reconcile` need the same key | none |
| AIMAAS_SIGNING_KEY | Ed25519 key that signs announcements of models; for `aimaas models` and the DAGs only | empty |
| AIMAAS_VERIFY_KEY | its public half, or several separated by commas: scorers skip announcements that no key verifies | empty |
| AIMAAS_MODEL_BYTES | largest size of a model file | 268435456 |
| AIMAAS_EXPORT_URL | SQL database of `aimaas export`, as a URL of SQLAlchemy | none |
| AIMAAS_WEBHOOK_URL | receiver of `aimaas alerts forward` | none |
| AIMAAS_WEBHOOK_TOKEN | bearer token for that receiver | none |
| AIMAAS_LOG_FORMAT | `console` or `json` | `console` |
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from aimaas.errors import SettingsError

_KAFKA = "AIMAAS_KAFKA_"
SIGNING_KEY, VERIFY_KEY = "AIMAAS_SIGNING_KEY", "AIMAAS_VERIFY_KEY"
_MODEL_BYTES = 256 * 1024**2
STACK_FILE = "stack.env"


@dataclass(frozen=True)
class Settings:
    """The settings of a process, which are read once at the edge and passed on."""

    home: Path
    fleets: Path
    jars: Path
    lake: str
    mlflow_tracking_uri: str
    mlflow_artifacts: str
    data_docs: Path
    spark_master: str
    kafka: Mapping[str, str] = field(repr=False)  # may hold a password
    log_format: str
    api_key: str | None = field(default=None, repr=False)
    spark_pool: str = "default_pool"
    replay_key: str | None = field(default=None, repr=False)
    signing_key: str | None = field(default=None, repr=False)
    verify_key: str | None = None
    model_bytes: int = _MODEL_BYTES
    data_docs_url: str | None = None
    export_url: str | None = field(default=None, repr=False)  # may hold a password
    webhook_url: str | None = field(default=None, repr=False)  # may hold a secret
    webhook_token: str | None = field(default=None, repr=False)

    @property
    def bootstrap_servers(self) -> str:
        """`host:port[,host:port]` of the Kafka cluster."""
        return self.kafka["bootstrap.servers"]


def read_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from `environ` (default: the process environment) and the running local stack."""
    given = dict(os.environ if environ is None else environ)
    home = Path(given.get("AIMAAS_HOME", "var")).absolute()
    values = {**_stack_values(home), **given}
    log_format = values.get("AIMAAS_LOG_FORMAT", "console")
    if log_format not in ("console", "json"):
        raise SettingsError(f"AIMAAS_LOG_FORMAT is {log_format!r}: use 'console' or 'json'")
    return Settings(
        home=home,
        fleets=Path(values.get("AIMAAS_FLEETS", "fleets")).absolute(),
        jars=Path(values.get("AIMAAS_JARS", "jars")).absolute(),
        lake=values.get("AIMAAS_LAKE", str(home / "lake")),
        mlflow_tracking_uri=values.get("AIMAAS_MLFLOW_TRACKING_URI", f"sqlite:///{home / 'mlflow' / 'mlflow.db'}"),
        mlflow_artifacts=values.get("AIMAAS_MLFLOW_ARTIFACTS", str(home / "mlflow" / "artifacts")),
        data_docs=Path(values.get("AIMAAS_DATA_DOCS", str(home / "data_docs"))),
        spark_master=values.get("AIMAAS_SPARK_MASTER", "local[2]"),
        kafka=_kafka_values(values),
        log_format=log_format,
        api_key=values.get("AIMAAS_API_KEY") or None,
        spark_pool=values.get("AIMAAS_SPARK_POOL", "default_pool"),
        replay_key=values.get("AIMAAS_REPLAY_KEY") or None,
        signing_key=values.get(SIGNING_KEY) or None,
        verify_key=values.get(VERIFY_KEY) or None,
        model_bytes=_model_bytes(values.get("AIMAAS_MODEL_BYTES")),
        data_docs_url=values.get("AIMAAS_DATA_DOCS_URL") or None,
        export_url=values.get("AIMAAS_EXPORT_URL") or None,
        webhook_url=values.get("AIMAAS_WEBHOOK_URL") or None,
        webhook_token=values.get("AIMAAS_WEBHOOK_TOKEN") or None,
    )


def _model_bytes(text: str | None) -> int:
    if not text:
        return _MODEL_BYTES
    if not (text.isascii() and text.isdigit()) or not 0 < int(text[:20]) < 2**31:  # protobuf's largest message
        raise SettingsError(f"AIMAAS_MODEL_BYTES is {text[:40]!r}: use a number of bytes below 2147483648")
    return int(text)


def _kafka_values(values: Mapping[str, str]) -> dict[str, str]:
    named = {k[len(_KAFKA) :].lower().replace("_", "."): v for k, v in values.items() if k.startswith(_KAFKA)}
    return {"bootstrap.servers": "localhost:9092", **named}


def kafka_variable(name: str) -> str:
    """The variable that holds the librdkafka setting of this name."""
    return _KAFKA + name.upper().replace(".", "_")


def _stack_values(home: Path) -> dict[str, str]:
    """The variables that the running local stack wrote; none if no stack runs."""
    path = home / STACK_FILE
    if not path.is_file():
        return {}
    return dict(line.split("=", 1) for line in path.read_text().splitlines() if "=" in line)


def started_by_spark_submit() -> bool:
    """Whether spark-submit runs this program: then a JVM with the submitted properties exists."""
    return "PYSPARK_GATEWAY_PORT" in os.environ
