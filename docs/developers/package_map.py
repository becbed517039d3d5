"""Write the map of all packages and modules into `architecture.md`.

Each module is described by the first line of its docstring. Run it after you add, move or rename a
module: ``python docs/developers/package_map.py``. A test fails if the map is out of date.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "napari_vrp_sam"
PAGE = Path(__file__).with_name("architecture.md")
START, END = "<!-- package map: start -->", "<!-- package map: end -->"


def first_line(module: Path) -> str:
    """Return the first line of a module's docstring."""
    docstring = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0].rstrip(".")


def package_map() -> str:
    """Return the map as Markdown: a section for each package, a line for each module."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    for init in sorted(PACKAGE.rglob("__init__.py")):
        package = init.parent
        name = package.relative_to(PACKAGE.parent).as_posix()
        yield f"#### `{name}/`"
        yield ""
        yield f"{first_line(init)}."
        yield ""
        for module in sorted(package.glob("*.py")):
            if module != init:
                yield f"- `{module.name}`: {first_line(module)}"
        yield ""


def page_with_map(page: str) -> str:
    """Return the page with an up-to-date map."""
    before, _, rest = page.partition(START)
    after = rest.partition(END)[2]
    return f"{before}{START}\n\n{package_map()}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page_with_map(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
