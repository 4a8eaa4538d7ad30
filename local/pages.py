"""Pages of the local stack: MLflow's, and Data Docs over HTTP. Each has a folder with its port, its record and its log."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

from aimaas.errors import StackError
from aimaas.settings import Settings
from local.mlflow_pages import APP_NAME
from local.ports import HOST, free_port, is_free
from local.processes import ManagedProcess, find_process, start_process

MLFLOW, DATA_DOCS = "mlflow", "data-docs"


def start_mlflow(settings: Settings, port: int | None = None) -> ManagedProcess:
    """Start MLflow's pages on the registry's database."""
    command = ["mlflow", "server", "--host", HOST, "--workers", "1"]
    command += ["--backend-store-uri", settings.mlflow_tracking_uri]
    command += ["--default-artifact-root", settings.mlflow_artifacts]
    if APP_NAME in entry_points(group="mlflow.app").names:  # not in an environment that was set up before there was one
        command += ["--app-name", APP_NAME]
    port = _free(MLFLOW, port)
    return _start(settings, MLFLOW, port, [*command, "--port", str(port)])


def start_data_docs(settings: Settings, port: int) -> ManagedProcess:
    """Serve the folder of Data Docs to this machine alone; they name devices in their examples."""
    settings.data_docs.mkdir(parents=True, exist_ok=True)
    command = ["http.server", "--bind", HOST, "--directory", str(settings.data_docs), str(_free(DATA_DOCS, port))]
    return _start(settings, DATA_DOCS, port, command)


def running_pages(settings: Settings) -> Iterator[tuple[ManagedProcess, str]]:
    """The servers that run, and where."""
    for name in (MLFLOW, DATA_DOCS):
        if found := find_process(name, _folder(settings, name)):
            yield found, f"http://localhost:{(_folder(settings, name) / 'port').read_text()}"


def _folder(settings: Settings, name: str) -> Path:
    return settings.home / {MLFLOW: "mlflow", DATA_DOCS: "pages"}[name]


def _free(name: str, port: int | None) -> int:
    port = port or free_port()
    if not is_free(port):
        raise StackError(f"port {port} is taken: end the process that listens there, or give {name} another port")
    return port


def _start(settings: Settings, name: str, port: int, module: list[str]) -> ManagedProcess:
    folder = _folder(settings, name)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "port").write_text(str(port))
    return start_process([sys.executable, "-m", *module], name=name, folder=folder)
