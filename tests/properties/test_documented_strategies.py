"""The examples in the documentation of `napari_vrp_sam.testing` run."""

from __future__ import annotations

import doctest
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from napari_vrp_sam import testing

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["containers", "drawings", "pixel_model", "stacks", "transforms"])
def test_examples_run(name: str) -> None:
    module = import_module(f"napari_vrp_sam.testing.{name}")
    tests = [
        t for t in doctest.DocTestFinder().find(module, globs=dict(vars(module))) if t.examples
    ]
    assert tests
    for test in tests:
        assert doctest.DocTestRunner().run(test).failed == 0


@pytest.mark.parametrize("name", testing.__all__)
def test_every_public_name_is_documented(name: str) -> None:
    page = (ROOT / "docs/reference/python.md").read_text("utf-8")
    value = getattr(testing, name)
    module = getattr(value, "__module__", "napari_vrp_sam.testing.containers")
    assert re.search(rf"::: {re.escape(module)}(\.{name})?$", page, re.MULTILINE)


def test_the_property_of_the_reference_holds(tmp_path: Path) -> None:
    page = (ROOT / "docs/reference/python.md").read_text("utf-8")
    (block,) = re.findall(r"^```python\n(from pathlib.*?)^```", page, re.MULTILINE | re.DOTALL)
    exec(compile(block, "python.md", "exec"), {})


def test_a_missing_hypothesis_is_explained() -> None:
    code = (
        "import sys; sys.modules['hypothesis'] = None\n"
        "try: import napari_vrp_sam.testing\n"
        "except ImportError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 'pip install "napari-vrp-sam[testing]"' in done.stdout
