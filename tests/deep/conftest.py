"""Tests of what the extra `deep` brings (`make test-deep`); without it there is nothing to collect."""

from __future__ import annotations

from models.families.deep.families import is_installed
from tests.models.conftest import training_set

__all__ = ["training_set"]

collect_ignore_glob = [] if is_installed() else ["test_*.py"]
