"""A quick model and a fitted `lite`, shared by the properties."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings

from napari_vrp_sam import load_model
from napari_vrp_sam.models.base import Model
from napari_vrp_sam.testing import PixelModel


def examples(count: int) -> settings:
    """Settings for this many examples with the profile `few`, and twenty times as many with `many`.

    For tests of which one example takes long.
    """
    few, now = settings.get_profile("few").max_examples, settings().max_examples
    return settings(max_examples=max(count * now // few, 1))


@contextmanager
def scratch() -> Iterator[Path]:
    """Folder of one example: pytest's `tmp_path` is shared by all examples of a test."""
    with TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def pixel_model() -> PixelModel:
    return PixelModel()


@pytest.fixture(scope="session")
def lite_model() -> Model:
    return load_model("lite", device="cpu")
