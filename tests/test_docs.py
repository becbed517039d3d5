"""What the README and the documentation tell people to type, typed."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("page", ["README.md", "docs/getting-started/python.md"])
def test_python_examples_run(page: str) -> None:
    """The blocks of a page build on each other, so they share their names."""
    text = (ROOT / page).read_text(encoding="utf-8")
    names: dict[str, object] = {}
    blocks = re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, page, "exec"), names)
    assert "labels" in names
