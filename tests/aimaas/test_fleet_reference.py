import re
from pathlib import Path

import msgspec
import numpy as np

from aimaas.admission import Judge, Reason
from aimaas.fleet import load_fleet
from aimaas.fleet_reference import reference

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "fleet-file.md"


def test_the_page_is_what_the_model_says() -> None:
    assert PAGE.read_text() == reference() + "\n", (
        "run: python -m aimaas.fleet_reference > docs/reference/fleet-file.md"
    )


def test_the_pages_smallest_fleet_file_works_and_admits_the_pages_event(tmp_path: Path) -> None:
    blocks = dict(re.findall(r"```(yaml|json)\n(.*?)```", PAGE.read_text(), re.DOTALL))
    (tmp_path / "pump.yaml").write_text(blocks["yaml"])
    event = msgspec.json.encode(msgspec.json.decode(blocks["json"]))
    batch = Judge(load_fleet(tmp_path / "pump.yaml")).decode([b"p-1"], [event])
    assert (batch.reason[0], batch.detail) == (Reason.ADMITTED, {})
    assert np.isnan(batch.values[0, 1])
