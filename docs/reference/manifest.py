"""Write `manifest.md` from napari's manifest of the plugin, `napari.yaml`.

    python docs/reference/manifest.py

A test fails if the page is out of date.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
PAGE = Path(__file__).with_suffix(".md")
MENUS = {
    "napari/file/io_utilities": "File > IO Utilities",
    "napari/layers/segment": "Layers > Segment",
    "napari-vrp-sam.annotate": "Layers > Annotate > VRP-SAM",
}
INTRODUCTION = """# napari plugin

What the plugin adds to napari. `python docs/reference/manifest.py` writes this page from the
manifest, `napari.yaml`. Keys and commands are public: see the [deprecation
policy](../developers/governance.md#deprecation-policy).
"""


def table(headings: Iterable[str], rows: Iterable[Iterable[object]]) -> Iterator[str]:
    """Yield the lines of a table."""
    headings = list(headings)
    for cells in (headings, ["---"] * len(headings), *rows):
        yield "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"
    yield ""


def code(values: Iterable[object]) -> str:
    """Return values as code, separated by commas."""
    return ", ".join(f"`{value}`" for value in values)


def page() -> str:
    """Return the page."""
    manifest = yaml.safe_load((ROOT / "napari.yaml").read_text("utf-8"))
    return "\n".join([INTRODUCTION, *_sections(manifest["contributions"])])


def _sections(plugin: dict[str, Any]) -> Iterator[str]:
    titles = {command["id"]: command["title"] for command in plugin["commands"]}
    yield "## Menus\n"
    rows = [
        (f"Plugins > VRP-SAM > {widget['display_name']}", f"`{widget['command']}`")
        for widget in plugin["widgets"]
    ]
    rows += [
        (f"{name} > {titles[entry['command']]}", f"`{entry['command']}`")
        for menu, name in MENUS.items()
        for entry in plugin["menus"][menu]
    ]
    yield from table(("Entry", "Command"), rows)
    yield "## Sample data\n\n*File > Open Sample > VRP-SAM*\n"
    samples = ((f"`{sample['key']}`", sample["display_name"]) for sample in plugin["sample_data"])
    yield from table(("Key", "Name"), samples)
    yield "## Readers\n\nnapari asks if several readers accept a file.\n"
    readers = (
        (titles[reader["command"]], code(reader["filename_patterns"]))
        for reader in plugin["readers"]
    )
    yield from table(("Reader", "Files"), readers)
    yield "## Writers\n\nFor *File > Save Selected Layers*.\n"
    writers = (
        (
            writer["display_name"],
            ", ".join(writer["layer_types"]),
            code(writer["filename_extensions"]),
        )
        for writer in plugin["writers"]
    )
    yield from table(("Writer", "Layers", "Suffix"), writers)
    for group in plugin["configurations"].values():
        yield f"## Preferences: {group['title']}\n\n*File > Preferences > VRP-SAM*\n"
        preferences = (
            (f"`{key}`", one["title"], one["description"], f"`{json.dumps(one['default'])}`")
            for key, one in group["properties"].items()
        )
        yield from table(("Key", "Preference", "Meaning", "Default"), preferences)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
