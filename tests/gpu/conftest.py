"""Tests that need a CUDA device: collected where there is one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

if not torch.cuda.is_available():
    collect_ignore_glob = ["test_*.py"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`-m gpu` chooses them."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("gpu")
