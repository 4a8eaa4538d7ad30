"""What the client makes of the answers of Airflow's API; a small server stands in for Airflow."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from aimaas.errors import StackError
from local.airflow.client import AirflowClient


class Answers(BaseHTTPRequestHandler):
    """Gives tokens, takes the newest one alone, and knows no DAG but `first`."""

    tokens: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        if self.path == "/auth/token":
            self.tokens.append(f"token-{len(self.tokens)}")
            self._say(201, {"access_token": self.tokens[-1]})
        elif self.headers["authorization"] != f"Bearer {self.tokens[-1]}":
            self._say(401, {"detail": "the token is over"})
        elif self.path == "/api/v2/dags/first/dagRuns":
            self._say(200, {"dag_run_id": "manual-1"})
        else:
            self._say(404, {"detail": "no such DAG"})

    def _say(self, code: int, body: dict[str, str]) -> None:
        self.send_response(code)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_: object) -> None:
        """Nothing on the tests' output."""


@pytest.fixture
def client(tmp_path: Path) -> Iterator[AirflowClient]:
    server = HTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield AirflowClient(f"http://127.0.0.1:{server.server_port}", "admin", "password", tmp_path / "logs")
    server.shutdown()
    server.server_close()


def test_a_refused_call_says_what_was_asked_and_why(client: AirflowClient) -> None:
    with pytest.raises(StackError, match="refused POST /api/v2/dags/none/dagRuns: 404 no such DAG"):
        client.trigger("none")


def test_a_token_that_is_over_is_asked_for_anew(client: AirflowClient) -> None:
    assert client.trigger("first") == "manual-1"
    Answers.tokens.append("of another server")
    assert client.trigger("first") == "manual-1"


def test_an_airflow_that_is_not_there_is_told_with_its_logs(tmp_path: Path, free_port: int) -> None:
    gone = AirflowClient(f"http://127.0.0.1:{free_port}", "admin", "password", tmp_path / "airflow" / "logs")
    with pytest.raises(
        StackError, match=rf"does not answer POST /auth/token: .*see the logs in {tmp_path / 'airflow'}"
    ):
        gone.trigger("first")
