"""Docker on a machine without Docker Hub: an engine, and stand-ins under the names of the official images."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import yaml

PROJECT = Path(__file__).resolve().parents[2]
STAND_INS = (
    "AIMAAS_TEST_CONTAINERS"  # a folder with engine.sh, which starts an engine and makes stand-ins for the images
)
NO_STAND_IN = ("grafana",)


def engine() -> dict[str, str]:
    """The environment of Docker's commands: an engine of this machine, or one with stand-ins for the images."""
    # the first Compose gives up after a minute
    patient = {**os.environ, "COMPOSE_HTTP_TIMEOUT": "600"}
    folder = os.environ.get(STAND_INS)
    if not folder:
        return patient
    done = subprocess.run(
        ["bash", "-c", _script(), folder], cwd=PROJECT, stdout=subprocess.PIPE, text=True, check=True, timeout=1_200
    )
    return {**patient, "DOCKER_HOST": done.stdout.splitlines()[-1]}


def _script() -> str:
    """Start the engine, make each stand-in from the folder named like the image, and print the engine's address."""
    images = [base_image(), *images_stood_in().values()]
    made = "".join(f"stand_in {image} {re.split('[/:]', image)[-2]} >&2 && " for image in images)
    return f'. "$0/engine.sh" start >&2 && {made}printf %s "$DOCKER_HOST"'


def base_image() -> str:
    """The image below ours, without its digest: an image that is built on this machine has a tag only."""
    (named,) = re.findall(r"(?m)^ARG PYTHON_IMAGE=(\S+)$", (PROJECT / "deploy" / "Dockerfile").read_text())
    return _without_digest(named)


def images_stood_in() -> dict[str, str]:
    """The image of each service that runs a stand-in, without its digest."""
    services = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())["services"]
    named = {name: service["image"] for name, service in services.items() if name not in NO_STAND_IN}
    return {name: _without_digest(image) for name, image in named.items() if image != "aimaas"}


def overrides(folder: Path) -> tuple[str, ...]:
    """Compose files by which the stack runs the stand-ins; the one with their names is written into `folder`."""
    named = {"services": {name: {"image": image} for name, image in images_stood_in().items()}}
    (folder / "images.yml").write_text(yaml.safe_dump(named))
    return "tests/deploy/stand-ins.yml", str(folder / "images.yml")


def _without_digest(image: str) -> str:
    return image.partition("@")[0]
