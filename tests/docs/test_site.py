"""The pages build strictly, need no network, and every page can be found from the index of its folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
_LOADED = re.compile(r'<(?:script|img|iframe)[^>]* src="?(?:https?:)?//|<link[^>]* href="?(?:https?:)?//')
_LINK = re.compile(r"\]\(([^)#]+)")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, as `make docs` builds it: a broken link or anchor is an error."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    built = subprocess.run(
        command, check=False, cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True
    )
    assert (built.returncode, built.stderr) == (0, "")
    return folder


def test_no_page_loads_anything_from_another_host(site: Path) -> None:
    assert [page.name for page in site.rglob("*.html") if _LOADED.search(page.read_text())] == []


def test_every_page_is_in_the_search_index(site: Path) -> None:
    index = (site / "search" / "search_index.js").read_text()
    pages = [page.relative_to(DOCS).with_suffix(".html").as_posix() for page in DOCS.rglob("*.md")]
    assert [page for page in pages if f'"{page}"' not in index] == []


@pytest.mark.parametrize("folder", ["how-to", "reference", "how-it-works"])
def test_the_index_of_a_folder_links_to_all_its_pages(folder: str) -> None:
    linked = set(_LINK.findall((DOCS / folder / "index.md").read_text()))
    assert sorted({page.name for page in (DOCS / folder).glob("*.md")} - linked - {"index.md"}) == []


def test_every_page_has_one_title_and_opens_with_a_sentence() -> None:
    assert [page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md") if not _opens_well(page.read_text())] == []


def _opens_well(text: str) -> bool:
    """Whether a page has one `#` heading, and text before its first list, table, picture or code."""
    plain = re.sub(r"^( *)```.*?^\1```|<!--.*?-->", "", text, flags=re.MULTILINE | re.DOTALL)
    paragraphs = [paragraph.strip() for paragraph in plain.split("\n\n") if paragraph.strip()]
    titles = [paragraph for paragraph in paragraphs if paragraph.startswith("# ")]
    return paragraphs[:1] == titles and paragraphs[1][0].isalpha()
