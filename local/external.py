"""Parts of the stack that run elsewhere, by the settings."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

from aimaas.settings import Settings


def external_mlflow(settings: Settings) -> str | None:
    """Return the address, without a password, of an MLflow server that others start; None for a database of this stack."""
    address = urlsplit(settings.mlflow_tracking_uri)
    if address.scheme not in ("http", "https", "databricks"):
        return None
    return urlunsplit(address._replace(netloc=address.netloc.rpartition("@")[2]))
