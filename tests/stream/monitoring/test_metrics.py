"""What Prometheus is told, read from the exposition as it does."""

from __future__ import annotations

import math

import numpy as np
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from aimaas.admission.judge import Reason
from stream.monitoring.health import Health
from stream.monitoring.histogram import ArrayHistogram
from stream.monitoring.metrics import ScorerMetrics

NOW = 1_000.0  # seconds since 1970
ALLOWED_LABELS = {"fleet", "model_version", "reason", "le"}


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> ScorerMetrics:
    return ScorerMetrics("turbofan", registry)


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    found = registry.get_sample_value(name, {"fleet": "turbofan", **labels})
    return None if found is None else float(found)


def score(metrics: ScorerMetrics, reasons: list[Reason], latency_s: float = 0.1, version: str = "1") -> None:
    at_ms = np.full(len(reasons), (NOW - latency_s) * 1e3, np.int64)
    metrics.batch_scored([np.array(reasons, np.int8)], [at_ms], version)


def commit(metrics: ScorerMetrics, snapshots: int = 0) -> None:
    metrics.commit_started()
    metrics.committed(0.006, NOW, snapshots)


def test_counts_go_up_with_the_commit_and_say_model_and_reason(
    metrics: ScorerMetrics, registry: CollectorRegistry
) -> None:
    score(metrics, [Reason.ADMITTED, Reason.LATE, Reason.ADMITTED], version="7")
    assert value(registry, "aimaas_events_total") == 0

    commit(metrics, snapshots=2)

    assert value(registry, "aimaas_events_total") == 3
    assert value(registry, "aimaas_predictions_total", model_version="7") == 2
    assert value(registry, "aimaas_dead_letters_total", reason="late") == 1
    assert value(registry, "aimaas_transactions_total") == 1
    assert value(registry, "aimaas_snapshots_total") == 2


def test_a_batch_counts_all_its_partitions_at_once(metrics: ScorerMetrics, registry: CollectorRegistry) -> None:
    one, two = np.zeros(3, np.int8), np.zeros(5, np.int8)
    metrics.batch_scored([one, two], [np.full(3, 10**6), np.full(5, 10**6)], "1")
    commit(metrics)

    assert value(registry, "aimaas_predictions_total", model_version="1") == 8
    assert value(registry, "aimaas_batch_events_count") == 1
    assert value(registry, "aimaas_batch_events_sum") == 8


def test_what_is_scored_while_a_commit_runs_waits_for_the_next(
    metrics: ScorerMetrics, registry: CollectorRegistry
) -> None:
    score(metrics, [Reason.ADMITTED])
    metrics.commit_started()
    score(metrics, [Reason.ADMITTED] * 4)
    metrics.committed(0.006, NOW, 0)
    assert value(registry, "aimaas_events_total") == 1

    commit(metrics)

    assert value(registry, "aimaas_events_total") == 5


def test_an_abort_drops_the_commit_under_way_and_what_was_scored_meanwhile(
    metrics: ScorerMetrics, registry: CollectorRegistry
) -> None:
    score(metrics, [Reason.ADMITTED])
    metrics.commit_started()
    score(metrics, [Reason.LATE])
    metrics.aborted()
    commit(metrics)

    assert value(registry, "aimaas_events_total") == 0
    assert value(registry, "aimaas_latency_seconds_count") == 0
    assert value(registry, "aimaas_aborts_total") == 1


def test_a_transaction_without_events_is_one_without_latencies(
    metrics: ScorerMetrics, registry: CollectorRegistry
) -> None:
    commit(metrics, snapshots=5)

    assert value(registry, "aimaas_transactions_total") == 1
    assert value(registry, "aimaas_latency_seconds_count") == 0


def test_latency_goes_from_the_brokers_time_to_the_commit_for_predictions_only(
    metrics: ScorerMetrics, registry: CollectorRegistry
) -> None:
    score(metrics, [Reason.ADMITTED, Reason.SCHEMA], latency_s=0.1)
    commit(metrics)

    assert value(registry, "aimaas_latency_seconds_count") == 1
    assert value(registry, "aimaas_latency_seconds_sum") == pytest.approx(0.1)
    assert value(registry, "aimaas_latency_seconds_bucket", le="0.08") == 0
    assert value(registry, "aimaas_latency_seconds_bucket", le="0.16") == 1


def test_a_broker_whose_clock_is_ahead_makes_no_negative_latency(
    metrics: ScorerMetrics, registry: CollectorRegistry
) -> None:
    score(metrics, [Reason.ADMITTED], latency_s=-5)
    commit(metrics)

    assert value(registry, "aimaas_latency_seconds_sum") == 0


def test_every_reason_is_there_before_its_first_dead_letter(registry: CollectorRegistry) -> None:
    ScorerMetrics("turbofan", registry)
    for reason in Reason:
        known = value(registry, "aimaas_dead_letters_total", reason=reason.label)
        assert known == (None if reason == Reason.ADMITTED else 0)


def test_one_model_is_told_at_a_time_with_the_age_of_its_promotion(
    metrics: ScorerMetrics, registry: CollectorRegistry
) -> None:
    age = value(registry, "aimaas_model_age_seconds")
    assert age is not None
    assert math.isnan(age)

    metrics.model_changed("7", NOW)
    metrics.model_changed("8", NOW)
    metrics.models_seen(refused=1, passed_over=0)
    metrics.models_seen(refused=1, passed_over=0)

    assert value(registry, "aimaas_model_info", model_version="7") is None
    assert value(registry, "aimaas_model_info", model_version="8") == 1
    assert value(registry, "aimaas_models_refused_total") == 1
    age = value(registry, "aimaas_model_age_seconds")
    assert age is not None
    assert age > 10**9  # promoted in 1970


def test_state_restore_and_lag_are_told_as_they_are_now(metrics: ScorerMetrics, registry: CollectorRegistry) -> None:
    metrics.restored(1.5, 4_000, 30)
    metrics.state_held(12, 40_000)
    metrics.lag_seen(2, 99)

    told = ("restore_seconds", "restore_bytes", "restored_events", "devices", "state_bytes", "partitions", "lag_events")
    assert [value(registry, f"aimaas_{name}") for name in told] == [1.5, 4_000, 30, 12, 40_000, 2, 99]


def test_health_is_asked_for_at_every_scrape(metrics: ScorerMetrics, registry: CollectorRegistry) -> None:
    health = [Health(), Health(waiting=("no model",)), Health(stalled=("loop",))]
    metrics.health_from(lambda: health[0])
    told = []
    while health:
        told.append((value(registry, "aimaas_live"), value(registry, "aimaas_ready")))
        health.pop(0)

    assert told == [(1, 1), (1, 0), (0, 0)]


def test_names_carry_our_prefix_and_labels_are_fleet_model_version_and_reason_only(
    metrics: ScorerMetrics, registry: CollectorRegistry
) -> None:
    score(metrics, [Reason.ADMITTED, Reason.LATE])
    commit(metrics)
    metrics.model_changed("7", NOW)

    families = list(text_string_to_metric_families(generate_latest(registry).decode()))

    assert families
    for family in families:
        assert family.name.startswith("aimaas_"), family.name
        assert family.documentation, family.name
        for sample in family.samples:
            assert set(sample.labels) <= ALLOWED_LABELS, sample
            assert sample.labels["fleet"] == "turbofan"


def test_two_scorers_in_one_process_share_nothing() -> None:
    one, two = CollectorRegistry(), CollectorRegistry()
    score(first := ScorerMetrics("turbofan", one), [Reason.ADMITTED])
    ScorerMetrics("turbofan", two)
    commit(first)

    assert (value(one, "aimaas_events_total"), value(two, "aimaas_events_total")) == (1, 0)


def test_the_array_histogram_counts_as_the_clients_own_does() -> None:
    from prometheus_client import Histogram

    values = np.concatenate(
        [np.random.default_rng(0).exponential(0.5, 1_000), [0.1, 1.0, 2.0, 5.0]]
    )  # bounds among them
    bounds, ours, theirs = (0.1, 1.0, 2.0), CollectorRegistry(), CollectorRegistry()
    array = ArrayHistogram("aimaas_x_seconds", "x", ["fleet"], buckets=bounds, registry=ours).labels("t")
    array.observe_all(values[:500])
    array.observe_all(values[500:])
    plain = Histogram("aimaas_x_seconds", "x", ["fleet"], buckets=bounds, registry=theirs).labels("t")
    for v in values.tolist():
        plain.observe(v)

    def samples(registry: CollectorRegistry) -> dict[tuple[str, str], float]:
        found = {}
        for family in text_string_to_metric_families(generate_latest(registry).decode()):
            for s in family.samples:
                if not s.name.endswith("_created"):
                    found[(s.name, s.labels.get("le", ""))] = s.value
        return found

    assert samples(ours) == pytest.approx(samples(theirs))
