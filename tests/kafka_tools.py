"""Runs the commands of Kafka's tools as our messages print them, with the tools' own classes."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from local.install.jars import kafka_jars
from local.install.java import require_java

_CLASSES = {
    "kafka-acls": "org.apache.kafka.tools.AclCommand",
    "kafka-configs": "kafka.admin.ConfigCommand",
    "kafka-delete-records": "org.apache.kafka.tools.DeleteRecordsCommand",
}


def in_backticks(message: str, tool: str) -> str:
    """The command in backticks that has this tool."""
    (found,) = (part for part in message.split("`")[1::2] if f"{tool} " in part)
    return found


def run_as_printed(command: str, jars: Path, folder: Path) -> None:
    """Run a command of one line in a shell, in `folder`. Fails unless the tool ends without an error."""
    programs = folder / "bin"
    programs.mkdir(exist_ok=True)
    classpath = os.pathsep.join(str(jar.absolute()) for jar in kafka_jars(jars))
    for tool, main in _CLASSES.items():
        (programs / tool).write_text(f'#!/bin/sh\nexec {require_java()} -cp "{classpath}" {main} "$@"\n')
        (programs / tool).chmod(0o755)
    environ = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["sh", "-ec", command], cwd=folder, env=environ, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
