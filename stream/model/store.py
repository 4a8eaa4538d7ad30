"""Allowed places of announced artefacts: below the configured artefact store, or a URI that the configured MLflow resolves.

An announcement is a record that any writer may have sent. Without this rule it could make a scorer read any file of its
machine, or ask any server.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from aimaas.errors import ModelRefusedError
from aimaas.settings import Settings

RESOLVED = ("models", "runs", "mlflow-artifacts")  # by MLflow's tracking server or database


def check_place(uri: str, settings: Settings, where: str) -> None:
    """Raise ModelRefusedError unless `uri` is in the configured store."""
    try:
        allowed = _is_allowed(uri, settings)
    except (ValueError, OSError, RuntimeError):  # no URI, a null byte in a path, circular links
        allowed = False
    if not allowed:
        raise ModelRefusedError(
            f"{where}: not below the artefact store {settings.mlflow_artifacts} (AIMAAS_MLFLOW_ARTIFACTS): "
            "promote a version that is stored there, or set the variable to the artefact store of the registry"
        )


def local_path(uri: str) -> Path | None:
    """Return the local file of a path or a `file:` URI; None for any other URI. Raises ValueError."""
    parts = urlsplit(uri)
    if not parts.scheme:
        return Path(uri)
    if parts.scheme.lower() != "file":
        return None
    if parts.netloc not in ("", "localhost") or parts.query or parts.fragment:
        raise ValueError(uri)
    return Path(unquote(parts.path))


def _is_allowed(uri: str, settings: Settings) -> bool:
    if not uri.isprintable():  # parsers treat control characters differently
        return False
    path, root = local_path(uri), local_path(settings.mlflow_artifacts)
    if path is not None:
        return root is not None and path.is_absolute() and _is_below(path.resolve(), root.resolve())
    parts, store = urlsplit(uri), urlsplit(settings.mlflow_artifacts)
    steps = _steps(parts)
    if parts.scheme.lower() in RESOLVED and parts.scheme.lower() != store.scheme.lower():
        return bool(steps) and _is_tracking_server(parts, settings)
    place = (parts.scheme.lower(), parts.netloc.lower())
    if parts.scheme.lower() == "mlflow-artifacts" and _is_tracking_server(parts, settings):
        place = (store.scheme.lower(), store.netloc.lower())
    above = _steps(store) if root is None else []
    return place == (store.scheme.lower(), store.netloc.lower()) and len(steps) > len(above) == _common(steps, above)


def _is_below(path: Path, root: Path) -> bool:
    return path != root and path.is_relative_to(root)


def _is_tracking_server(parts: SplitResult, settings: Settings) -> bool:
    """Return whether the URI names only the configured server."""
    return parts.netloc.lower() in ("", urlsplit(settings.mlflow_tracking_uri).netloc.lower())


def _steps(parts: SplitResult) -> list[str]:
    """Return the path's parts. Raises ValueError for a part that a server might read differently."""
    path = unquote(parts.path)
    steps = [step for step in path.split("/") if step]
    if parts.query or parts.fragment or "@" in parts.netloc or "%" in path or "\\" in path or {".", ".."} & set(steps):
        raise ValueError(parts)
    return steps


def _common(one: list[str], other: list[str]) -> int:
    """Return the number of first parts that are the same."""
    same = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        same += 1
    return same
