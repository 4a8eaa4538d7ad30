from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from aimaas.errors import FleetFileError
from aimaas.fleet import load_fleet
from models.search.fleet_file import shown, write_settings
from tests.conftest import FLEETS

FOUND: dict[str, dict[str, Any]] = {
    "boosting": {"trees": 300, "rate": 0.05},
    "mlp": {"hidden": [64, 32], "activation": "tanh"},
}


def test_settings_are_shown_as_the_fleet_file_holds_them() -> None:
    assert yaml.safe_load(shown(FOUND)) == {"training": {"candidates": FOUND}}
    assert "    boosting: {trees: 300, rate: 0.05}" in shown(FOUND)


def test_writing_settings_leaves_every_other_character_of_the_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "turbofan.yaml"
    before = (FLEETS / "turbofan.yaml").read_text()
    path.write_text(before)
    write_settings(path, FOUND)
    assert path.read_text() == before.replace("boosting: {}", "boosting: {trees: 300, rate: 0.05}").replace(
        "mlp: {}", "mlp: {hidden: [64, 32], activation: tanh}"
    )
    assert {name: load_fleet(path).training.candidates[name] for name in FOUND} == FOUND


def test_settings_written_over_several_lines_are_replaced_and_comments_after_them_stay(tmp_path: Path) -> None:
    path = tmp_path / "turbofan.yaml"
    block = "boosting:\n      trees: 10\n      rate: 0.1\n    # the network\n"
    path.write_text((FLEETS / "turbofan.yaml").read_text().replace("boosting: {}\n", block))
    write_settings(path, {"boosting": {"trees": 300}})
    assert load_fleet(path).training.candidates["boosting"] == {"trees": 300}
    assert "    # the network\n    mlp: {}" in path.read_text()


def test_a_candidate_that_is_gone_from_the_file_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "turbofan.yaml"
    path.write_text((FLEETS / "turbofan.yaml").read_text())
    with pytest.raises(FleetFileError, match=r"training\.candidates\.oak: missing; the file was changed meanwhile"):
        write_settings(path, {"oak": {"trees": 1}})
