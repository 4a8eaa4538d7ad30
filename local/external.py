"""Parts of the stack that run elsewhere, as the settings say."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

from aimaas.settings import Settings


def external_mlflow(settings: Settings) -> str | None:
    """Where an MLflow runs that is not ours to start, without a password in its address; None for a database of our own."""
    address = urlsplit(settings.mlflow_tracking_uri)
    if address.scheme not in ("http", "https", "databricks"):
        return None
    return urlunsplit(address._replace(netloc=address.netloc.rpartition("@")[2]))
