import re
from pathlib import Path

import msgspec
import numpy as np

from aimaas.admission.judge import Judge, Reason
from aimaas.fleet import load_fleet
from aimaas.fleet.reference import reference

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "fleet-file.md"


def test_the_page_is_what_the_model_says() -> None:
    assert PAGE.read_text() == reference() + "\n", (
        "run: python -m aimaas.fleet.reference > docs/reference/fleet-file.md"
    )


def test_the_pages_fleet_file_works_with_each_of_its_tasks_and_admits_the_pages_event(tmp_path: Path) -> None:
    (_, whole), (_, task), (_, event) = re.findall(r"```(yaml|json)\n(.*?)```", PAGE.read_text(), re.DOTALL)
    file = tmp_path / "pump.yaml"
    file.write_text(re.sub(r"^task: .*\n", task, whole, flags=re.MULTILINE))
    assert load_fleet(file).task.kind == "failure_within"
    file.write_text(whole)
    batch = Judge(load_fleet(file)).decode([b"p-1"], [msgspec.json.encode(msgspec.json.decode(event))])
    assert (batch.reason[0], batch.detail) == (Reason.ADMITTED, {})
    assert np.isnan(batch.values[0]).tolist() == [False, False, True]
