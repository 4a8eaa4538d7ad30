"""The page of the mapping file is what its models say, and its examples are mappings."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from stream.replay.mapping.reference import reference
from stream.replay.mapping.schema import Mapping

PAGE = Path(__file__).parents[4] / "docs" / "reference" / "mapping.md"


def test_the_page_is_what_the_models_say() -> None:
    assert PAGE.read_text() == reference(), "run: python -m stream.replay.mapping.reference > docs/reference/mapping.md"


@pytest.mark.parametrize("example", re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL))
def test_each_example_of_the_page_is_a_mapping(example: str) -> None:
    assert Mapping.model_validate(yaml.safe_load(example)).fleet


def test_every_key_has_a_meaning() -> None:
    assert not re.search(r"^\| `[\w.]+` \|\s*\|", PAGE.read_text(), re.MULTILINE)
