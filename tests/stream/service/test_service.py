"""What surrounds a prediction: keys, limits, errors of every kind, health, cache, metrics, and the page that documents them."""

from __future__ import annotations

import http.client
import json
import re

import jsonschema
import pytest

from tests.stream.service.conftest import Served, Serving

EVENT = {"readings": {"o": 0.5, "a": 1.0, "b": 2.0, "n": None}}
BODY = {"instances": [{"events": [EVENT]}]}
OPEN = ["/docs", "/openapi.json", "/metrics", "/healthz", "/readyz", "/v2/health/live", "/v2/health/ready"]


def metric(served: Served, name: str) -> float:
    lines = served.call("/metrics").text.splitlines()
    return float(next(line.rsplit(" ", 1)[1] for line in lines if line.startswith(name)))


def test_without_the_key_nothing_is_predicted_but_health_is_told(serving: Serving) -> None:
    with serving(api_key="s3cret-ß") as served:
        for given in ({}, {"X_API_Key": "other"}, {"X_API_Key": ""}):
            answer = served.call("/predict", BODY, **given)
            assert (answer.status, answer.json["type"]) == (401, "urn:aimaas:problem:unauthorized")
            assert "X-API-Key" in answer.json["detail"]
            assert answer.headers["www-authenticate"]
        assert served.call("/v2/models/pump").status == 401
        assert served.call("/predict", BODY, X_API_Key="s3cret-ß".encode().decode("latin-1")).status == 200
        assert [served.call(path).status for path in OPEN] == [200] * len(OPEN)
        assert "s3cret" not in served.call("/openapi.json").text


def test_the_documentation_page_needs_no_other_host_and_no_key(serving: Serving) -> None:
    with serving(api_key="s3cret") as served:
        page = served.call("/docs").text
        named = re.findall(r"(?:src|href)=[\"']([^\"']+)|url: '([^']+)'", page)
        paths = [one or other for one, other in named if not one.endswith(".png")]
        assert any(path.endswith(".js") for path in paths) and "/openapi.json" in paths
        for path in paths:
            assert path.startswith("/"), path
            assert served.call(path).status == 200, path
        assert served.call("/docs/files/../../predict", BODY).status == 405  # of the files, not of /predict


def test_a_body_above_the_limit_is_refused_by_its_stated_length_and_by_its_real_one(serving: Serving) -> None:
    with serving(body_bytes=500) as served:
        assert served.call("/predict", BODY).status == 200
        large = {**BODY, "more": "x" * 500}
        answer = served.call("/predict", large)
        assert (answer.status, answer.headers["content-type"]) == (413, "application/problem+json")
        assert "allowed are 500" in answer.json["detail"]
        assert chunked(served.port, json.dumps(large).encode()) == 413
        assert served.call("/predict", BODY).status == 200


def chunked(port: int, body: bytes) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("POST", "/predict", iter([body[:100], body[100:]]), encode_chunked=True)
    status = connection.getresponse().status
    connection.close()
    return status


def test_more_instances_than_allowed_are_refused(serving: Serving) -> None:
    with serving(instances=2) as served:
        assert served.call("/predict", {"instances": [{"events": [EVENT]}] * 2}).status == 200
        answer = served.call("/predict", {"instances": [{"events": [EVENT]}] * 3})
        assert (answer.status, answer.json["type"]) == (413, "urn:aimaas:problem:too-many-instances")
        assert answer.json["errors"][0]["detail"] == "found 3 instances, allowed are 2 in one request"


def test_paths_and_methods_that_are_not_there_are_problems_too(served: Served) -> None:
    missing = served.call("/predictions")
    assert (missing.status, missing.headers["content-type"]) == (404, "application/problem+json")
    assert missing.json["detail"] == "no path /predictions; /docs lists all paths"
    wrong = served.call("/predict")
    assert (wrong.status, wrong.headers["allow"]) == (405, "POST")
    assert wrong.json["detail"] == "/predict: found method GET, allowed: POST"
    assert served.call("/predict", BODY, method="DELETE").status == 405


def test_before_there_is_a_model_the_service_lives_but_is_not_ready(serving: Serving) -> None:
    with serving(model=False) as served:
        assert served.call("/healthz").status == 200
        for path in ("/readyz", "/v2/health/ready", "/v2/models/pump", "/v2/models/pump/ready"):
            answer = served.call(path)
            assert (answer.status, answer.json["type"]) == (503, "urn:aimaas:problem:no-model")
        assert served.call("/predict", BODY).status == 503


def test_an_instance_seen_before_is_answered_from_the_cache(served: Served) -> None:
    before = metric(served, "aimaas_http_cache_hits_total")
    twice = {"instances": [{"events": [EVENT, EVENT, EVENT, EVENT]}]}
    first, second = served.call("/predict", twice).json, served.call("/predict", twice).json
    assert first == second
    assert metric(served, "aimaas_http_cache_hits_total") == before + 1


def test_without_a_cache_the_answers_are_the_same(serving: Serving) -> None:
    with serving(cache=0) as served:
        assert served.call("/predict", BODY).json == served.call("/predict", BODY).json
        assert metric(served, "aimaas_http_cache_hits_total") == 0


def test_a_cache_keeps_the_instances_that_were_asked_for_last(serving: Serving) -> None:
    with serving(cache=2) as served:
        for a in (1.0, 2.0, 3.0, 3.0, 2.0, 1.0):
            served.call("/predict", {"events": [{"readings": {**EVENT["readings"], "a": a}}]})
        assert metric(served, "aimaas_http_cache_hits_total") == 2


def test_metrics_count_answers_by_declared_path_and_code(serving: Serving) -> None:
    with serving() as served:
        served.call("/predict", BODY)
        served.call("/predict", {})
        served.call("/no/such/path")
        served.call("/v2/models/pump")
        text = served.call("/metrics").text
    for path, code in (("/predict", 200), ("/predict", 422), ("other", 404), ("/v2/models/{fleet}", 200)):
        assert f'aimaas_http_requests_total{{code="{code}",fleet="pump",path="{path}"}} 1.0' in text
    assert 'aimaas_http_request_seconds_count{fleet="pump",path="/predict"} 2.0' in text
    assert 'aimaas_http_model_info{fleet="pump",model_version="1"} 1.0' in text
    assert 'aimaas_http_batch_rows_count{fleet="pump"}' in text


def test_the_documented_examples_work_and_fit_the_documented_schemas(served: Served) -> None:
    paths = served.call("/openapi.json").json["paths"]
    for path in ("/predict", "/v2/models/{fleet}/infer"):
        post = paths[path]["post"]
        asked = post["requestBody"]["content"]["application/json"]
        answered = post["responses"]["200"]["content"]["application/json"]["schema"]
        for example in asked["examples"].values():
            jsonschema.validate(example["value"], asked["schema"])
            answer = served.call(path.format(fleet="pump"), example["value"])
            assert answer.status == 200, answer.text
            jsonschema.validate(answer.json, answered)
        problem = post["responses"]["422"]["content"]["application/problem+json"]["schema"]
        jsonschema.validate(served.call(path.format(fleet="pump"), {}).json, problem)


@pytest.mark.parametrize("length", ["9" * 5_000, "99999999999999999"])
def test_an_absurd_stated_length_is_refused(served: Served, length: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=10)
    connection.putrequest("POST", "/predict")
    connection.putheader("Content-Length", length)
    connection.endheaders()
    assert connection.getresponse().status in (400, 413)
    connection.close()
