"""The registry version in a model card.

The training writes a card before anybody knows which version the registry will give the model, or whether it will be registered at
all. So the card says that it is not registered. Registration replaces that with the version, in the training's folder and in
MLflow's copy. The model's bytes do not hold the card, so they do not change.
"""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

UNREGISTERED = "not registered when this card was written"
_PLACES = re.compile(
    r'(?<=<span id="registry-version">)[^<\n]*(?=</span>)|(?<=^- Registry version: )[^\n]*$', re.MULTILINE
)


def write_version(folder: Path, fleet: str, version: str, at: datetime) -> None:
    """Write the version and its registration time (UTC) into the cards in `folder`; cards of older releases do not change.

    A second call replaces the version.
    """
    said = f"version {version} of {fleet}, registered {at:%Y-%m-%d %H:%M} UTC"
    for path in (*folder.glob("*.html"), *folder.glob("*.md")):
        text = path.read_text(encoding="utf-8")
        new = _PLACES.sub(said.replace("\\", ""), text)
        if new != text:
            path.write_text(new, encoding="utf-8")
