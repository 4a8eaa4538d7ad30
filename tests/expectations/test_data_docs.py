"""Data Docs as a person opens them: without a network, with links that lead somewhere, outcomes that look different."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from expectations.suite import Expected
from expectations.validation import DataDocs

SUITE: list[Expected] = [
    ("expect_column_values_to_be_between", {"column": "torque", "min_value": 0, "max_value": 80}, "critical"),
    ("expect_column_values_to_be_between", {"column": "speed", "min_value": 0, "max_value": 3000}, "critical"),
    ("expect_column_values_to_not_be_null", {"column": "wear", "mostly": 0.9}, "warning"),
    ("expect_column_pair_values_a_to_be_greater_than_b", {"column_A": "speed", "column_B": "torque", "mostly": 0.5}, "quarantine"),
    ("expect_table_row_count_to_be_between", {"min_value": 1}, "critical"),
    ("expect_column_values_to_be_between", {"column": "gone", "min_value": 0}, "critical"),
]  # fmt: skip
ROWS = pd.DataFrame(
    {"torque": [10.0, 20.0, 999.0, 30.0], "speed": [1500.0, 5.0, 1600.0, 1700.0], "wear": [1.0, None, None, 4.0]}
)


class _Links(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        into = self.links if tag == "a" else self.fetched
        into += [str(given[name]) for name in ("href", "src") if given.get(name)]


def pages_of(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.html"))


def row(text: str, subject: str) -> str:
    rows = (found[0] for found in re.finditer(r"<tr class=.*?</tr>", text, re.DOTALL))
    return next(r for r in rows if f"<td>{subject}</td>" in r)


@pytest.fixture(scope="module")
def docs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of two fleets, of which one has two runs."""
    folder = tmp_path_factory.mktemp("docs")
    made = DataDocs(folder, "mill")
    made.validate("mill_silver", SUITE, ROWS, "v0")
    made.build()
    made = DataDocs(folder, "mill")
    made.validate("mill_silver", SUITE[1:2], ROWS, "v1")
    share = {"column": "refused_share", "min_value": 0, "max_value": 0.1}
    made.validate(
        "mill_silver_run",
        [("expect_column_values_to_be_between", share, "critical")],
        pd.DataFrame({"refused_share": [0.0123]}),
        "v1",
    )
    made.build()
    other = DataDocs(folder, "pump")
    other.validate("pump_gold", [("expect_table_row_count_to_be_between", {"min_value": 1}, "critical")], ROWS, "v7")
    other.build()
    return folder


def test_no_page_fetches_anything_and_every_link_leads_to_a_page(docs: Path) -> None:
    assert len(pages_of(docs)) == 1 + 2 + 4
    for page in pages_of(docs):
        found = _Links(page.read_text())
        assert [f for f in found.fetched if not f.startswith("data:")] == []
        assert found.links or page.parent == docs
        for link in found.links:
            assert (page.parent / link).resolve().is_file(), f"{page}: {link}"


def test_the_index_lists_every_run_with_its_verdict_newest_first(docs: Path) -> None:
    text = (docs / "mill/site/index.html").read_text()
    runs = re.findall(r'<td>(mill_\w+)</td><td><a href="[^"]+">(\w+)</a></td><td><span class="badge ([\w-]+)"', text)
    assert sorted(runs[:2]) == [("mill_silver", "v1", "passed"), ("mill_silver_run", "v1", "passed")]
    assert runs[2:] == [("mill_silver", "v0", "failed")]
    assert "pump/site/index.html" in (docs / "index.html").read_text()


def test_failed_warned_set_aside_and_passed_differ_and_say_what_is_allowed_and_what_was_observed(docs: Path) -> None:
    (page,) = (docs / "mill/site/validations/mill_silver/v0").glob("*.html")
    text = page.read_text()
    assert re.findall(r'class="badge ([\w-]+)"', text)[1:] == [
        "failed",
        "failed",
        "warning",
        "set-aside",
        "passed",
        "passed",
    ]
    failed = row(text, "torque")
    assert "≥ 0 and ≤ 80" in failed and "1 of 4 rows fail; values 10 to 999" in failed and "<td>999</td>" in failed
    assert "0 of 4 rows fail; values 5 to 1700" in row(text, "speed")  # of what passed too
    assert "at least 90" in row(text, "wear") and "2 of 4 rows fail" in row(text, "wear")
    assert "1 of 4 rows fail" in row(text, "speed, torque") and "<td>(5, 20)</td>" in row(text, "speed, torque")
    assert "could not be computed" in row(text, "gone") and "gone" in row(text, "gone")
    assert "≥ 1" in row(text, "table") and "<td>4</td>" in row(text, "table")


def test_a_run_as_a_whole_shows_its_share_also_where_it_passes(docs: Path) -> None:
    (page,) = (docs / "mill/site/validations/mill_silver_run/v1").glob("*.html")
    assert "0.0123" in row(page.read_text(), "refused_share")


def test_values_of_devices_are_text_on_the_page(tmp_path: Path) -> None:
    made = DataDocs(tmp_path, "mill")
    evil = "<script>alert(1)</script>"
    expected: Expected = ("expect_column_values_to_be_in_set", {"column": "split", "value_set": ["train"]}, "critical")
    made.validate("mill_gold", [expected], pd.DataFrame({"split": ["train", evil]}), "v0")
    made.build()
    (page,) = (tmp_path / "mill/site/validations").rglob("*.html")
    assert evil not in page.read_text() and "&lt;script&gt;" in page.read_text()


def test_the_index_leaves_out_what_upkeep_deleted_and_lists_pages_of_older_releases(tmp_path: Path) -> None:
    for run in ("v0", "v1"):
        made = DataDocs(tmp_path, "mill")
        made.validate("mill_silver", SUITE[1:2], ROWS, run)
        if run == "v1":
            for page in (tmp_path / "mill/site/validations/mill_silver/v0").glob("*.html"):
                page.unlink()
            old = tmp_path / "mill/site/validations/mill_silver/v-old/20261101T000000.000000Z/lake-mill_silver.html"
            old.parent.mkdir(parents=True)
            old.write_text("old")
        made.build()
    text = (tmp_path / "mill/site/index.html").read_text()
    assert ">v1</a>" in text and ">v0</a>" not in text and "lake-mill_silver.html" in text


def test_links_are_those_of_the_server_where_the_folder_is_served(tmp_path: Path) -> None:
    made = DataDocs(tmp_path, "mill", "http://localhost:8090/")
    assert made.index == "http://localhost:8090/mill/site/index.html"
    assert DataDocs(tmp_path, "mill").index == (tmp_path / "mill/site/index.html").as_uri()
