"""What the README and the documentation tell people to type, typed."""

import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_vrp_sam.io import samples

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("page", ["README.md", "docs/getting-started/python.md"])
def test_python_examples_run(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks of a page build on each other, so they share their names."""
    small = partial(samples.sample_stack, size=112, frames=3)
    monkeypatch.setattr(samples, "sample_stack", small)
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, page, "exec"), names)
    assert np.any(names["labels"]), "the class was not found"
