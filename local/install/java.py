"""The Java that Kafka and Spark run on."""

from __future__ import annotations

import re
import shutil
import subprocess

from aimaas.errors import StackError

NEEDED = 17
_VERSION = re.compile(r'version "(?:1\.)?(\d+)')


def major_version(banner: str) -> int | None:
    """Return the major version from the output of `java -version` (`1.8.0` counts as 8); None if it has none."""
    found = _VERSION.search(banner)
    return int(found.group(1)) if found else None


def installed_version() -> int | None:
    """Return the major version of the `java` on the PATH; None if there is none or it does not run."""
    java = shutil.which("java")
    if java is None:
        return None
    try:
        answer = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return major_version(answer.stderr + answer.stdout)


def require_java() -> str:
    """Return the path of `java`. Raises StackError if it is missing or older than 17."""
    version = installed_version()
    if version is None:
        raise StackError(f"no Java found on the PATH: install a JDK or full JRE, version {NEEDED} or newer")
    if version < NEEDED:
        raise StackError(f"Java {version} is too old: install version {NEEDED} or newer and put it first on the PATH")
    return str(shutil.which("java"))
