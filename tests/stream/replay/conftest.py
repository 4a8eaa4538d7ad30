"""The fleet that the tables of these tests are of."""

from __future__ import annotations

import pytest

from aimaas.fleet import FleetSpec, load_fleet

PUMP = """\
fleet: pump
version: 1
order: ts
sensors:
  pressure: {name: p, unit: bar, range: [-1000, 100000]}
  vibration: {name: v, unit: mm/s, range: [0, 6000], nullable: true, fill: previous}
features: {windows: [6]}
task: {kind: remaining_useful_life, unit: hours, cap: 500}
training: {candidates: {ridge: {}}}
"""


@pytest.fixture(scope="module")
def pump(tmp_path_factory: pytest.TempPathFactory) -> FleetSpec:
    path = tmp_path_factory.mktemp("fleets") / "pump.yaml"
    path.write_text(PUMP)
    return load_fleet(path)
