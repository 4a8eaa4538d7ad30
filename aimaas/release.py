"""The release of this package."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def release() -> str:
    """The version of the installed package; `0` if it is not installed."""
    try:
        return version("aimaas")
    except PackageNotFoundError:
        return "0"
