"""The registry version in a model card.

A card is written by the training, before anybody knows which version the registry will give the model, or whether it will be
registered at all. So the card says that it is not registered, and registering puts the version in its place: in the training's
folder and in the copy that MLflow keeps. The model's bytes do not hold the card, so they stay what they were.
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
    """Put the version, and the time (UTC) at which it was registered, into the cards in `folder`; those of older releases stay.

    Written again it says the version given last.
    """
    said = f"version {version} of {fleet}, registered {at:%Y-%m-%d %H:%M} UTC"
    for path in (*folder.glob("*.html"), *folder.glob("*.md")):
        text = path.read_text(encoding="utf-8")
        new = _PLACES.sub(said.replace("\\", ""), text)
        if new != text:
            path.write_text(new, encoding="utf-8")
