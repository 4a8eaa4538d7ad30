from pathlib import Path

from aimaas.fleet import FleetSpec, find_fleet
from aimaas.topics import TopicSpec, topic_names, topic_specs
from tests.conftest import FLEETS

FLEET = find_fleet(FLEETS, "turbofan")


def test_topics_are_named_after_the_fleet_unless_it_overrides_one() -> None:
    names = topic_names(FLEET)
    assert (names.events, names.state, names.dead_letters) == (
        "iot.turbofan.events", "iot.turbofan.state", "iot.turbofan.events.dlq",
    )  # fmt: skip
    given = FleetSpec.model_validate({**FLEET.model_dump(), "topics": {"names": {"events": "plant.engines"}}})
    assert topic_names(given).events == "plant.engines"
    assert topic_names(given).dead_letters == "plant.engines.dlq"


def test_each_kind_of_topic_has_its_settings() -> None:
    specs = {s.name.removeprefix("iot.turbofan."): s for s in topic_specs(FLEET)}
    assert specs["events"].config["message.timestamp.type"] == "LogAppendTime"
    unkeyed = {n for n in specs if f"iot.turbofan.{n}" in topic_names(FLEET).unkeyed}
    assert unkeyed == {"models", "model_status", "journal"}
    for name in ("models", "journal"):
        assert specs[name].config == {"cleanup.policy": "delete", "retention.ms": "-1"}
    assert {n for n, s in specs.items() if s.config["cleanup.policy"] == "compact"} == {"model_status", "state"}
    assert specs["outcomes"].config["retention.ms"] == "-1"
    assert int(specs["events.dlq"].config["max.message.bytes"]) > int(specs["events"].config["max.message.bytes"])
    assert {s.partitions for n, s in specs.items() if n not in unkeyed} == {FLEET.topics.partitions}
    assert {specs[n].partitions for n in unkeyed} == {1}


def row(spec: TopicSpec) -> str:
    """A topic's row of docs/reference/topics.md."""
    config = dict(spec.config)
    policy, retention = config.pop("cleanup.policy"), config.pop("retention.ms", None)
    kept = {None: "newest record per key", "-1": "forever"}.get(retention, "`topics.retention_days`")
    named = [f"`{k}={v}`" if k == "message.timestamp.type" else f"`{k}`" for k, v in config.items()]
    reserved = ", reserved" if spec.name.endswith((".commands", ".outcomes.dlq")) else ""
    name = spec.name.replace("turbofan", "<fleet>")
    others = f" {', '.join(named)} " if named else " "
    return f"| `{name}`{reserved} | {1 if spec.partitions == 1 else '`topics.partitions`'} | `{policy}` | {kept} |{others}|"


def test_the_page_of_topics_shows_each_with_its_settings() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "topics.md").read_text().splitlines()
    assert [row(spec) for spec in topic_specs(FLEET)] == [line for line in page if line.startswith("| `iot.")]
