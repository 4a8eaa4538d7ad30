from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from local.mlflow_pages import create_app


@pytest.fixture(scope="module")
def pages() -> TestClient:
    return TestClient(create_app(), base_url="http://localhost")


def test_the_start_page_opens_on_models_before_mlflow_reads_what_the_browser_remembers(pages: TestClient) -> None:
    found = pages.get("/", headers={"If-Modified-Since": "Mon, 30 Nov 2099 00:00:00 GMT"})
    assert found.status_code == 200 and found.headers["content-length"] == str(len(found.content))
    text = found.text
    assert text.index("mlflow.workflowType_v1") < text.index("static-files/static/js/main")
    assert text.index("#/models") < text.index("static-files/static/js/main")


def test_the_keys_are_those_that_mlflows_own_pages_read(pages: TestClient) -> None:
    page = pages.get("/").text
    script = pages.get("/" + page.split('defer" src="')[1].split('"')[0].removeprefix("./")).text
    for key in ("mlflow.workflowType", "mlflow.assistant.fab.autoOpenedOnFirstLoad"):
        assert f'key:"{key}",version:1' in script and f"{key}_v1" in page


def test_all_other_answers_are_mlflows_own(pages: TestClient) -> None:
    assert pages.get("/health").text == "OK"
    assert pages.post("/").status_code in (404, 405)
