"""HTTP pages of the local stack: MLflow and Data Docs. Each server has a folder with its port, its record and its log."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from pathlib import Path

from aimaas.settings import Settings
from local.mlflow_pages import APP_NAME
from local.ports import HOST
from local.supervision.processes import ManagedProcess, find_process
from local.supervision.programs import Program

MLFLOW, DATA_DOCS = "mlflow", "data-docs"


def mlflow_program(settings: Settings, port: int, inherited: Mapping[str, str]) -> Program:
    """Return the program of the MLflow server on the registry's database. `inherited` is the caller's environment."""
    command = ["mlflow", "server", "--host", HOST, "--workers", "1"]
    command += ["--default-artifact-root", settings.mlflow_artifacts]
    if APP_NAME in entry_points(group="mlflow.app").names:  # an environment from an older release does not have it
        command += ["--app-name", APP_NAME]
    environ = {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # seven more processes, for evaluations of language models
        **{name: value for name, value in inherited.items() if not name.startswith("AIMAAS_")},
        # it may hold a password, and every user of the machine sees a command line
        "MLFLOW_BACKEND_STORE_URI": settings.mlflow_tracking_uri,
    }
    return _program(settings, MLFLOW, port, [*command, "--port", str(port)], environ)


def data_docs_program(settings: Settings, port: int) -> Program:
    """Return the program that serves Data Docs, on this machine only, because their examples name devices."""
    settings.data_docs.mkdir(parents=True, exist_ok=True)
    command = ["http.server", "--bind", HOST, "--directory", str(settings.data_docs), str(port)]
    return _program(settings, DATA_DOCS, port, command)


def kept_port(settings: Settings, name: str) -> int | None:
    """Return the port of these pages in a used home; None in a new one."""
    path = _folder(settings, name) / "port"
    return int(path.read_text()) if path.is_file() else None


def running_pages(settings: Settings) -> Iterator[ManagedProcess]:
    """Yield the running servers."""
    for name in (MLFLOW, DATA_DOCS):
        if found := find_process(name, _folder(settings, name)):
            yield found


def _folder(settings: Settings, name: str) -> Path:
    return settings.home / {MLFLOW: "mlflow", DATA_DOCS: "pages"}[name]


def _program(
    settings: Settings, name: str, port: int, module: list[str], environ: Mapping[str, str] | None = None
) -> Program:
    folder = _folder(settings, name)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "port").write_text(str(port))
    return Program(name, folder, (sys.executable, "-m", *module), environ, port=port)
