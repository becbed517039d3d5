"""Commands and options in the whole documentation exist, also where they are not run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
from tests.docs.pages import BLOCK, DOCS, ROOT

from napari_vrp_sam.cli import app

PAGES = [ROOT / "README.md", ROOT / "benchmarks/README.md", *sorted(DOCS.rglob("*.md"))]
PROGRAM = typer.main.get_command(app)
NAME = re.compile(r"(?<![\w-])vrp-sam ")


def _lines(path: Path) -> list[str]:
    """Return the lines of shell blocks, and code within the text, that run `vrp-sam`."""
    text = path.read_text("utf-8")
    if path.name == "command-line.md" and path.parent.name == "reference":
        return []  # written from the program itself
    found = []
    for _, language, _, block in BLOCK.findall(text):
        if language in ("console", "bash"):
            found += block.replace("\\\n", " ").splitlines()
    found += re.findall(r"`(vrp-sam [^`]+)`", " ".join(text.split()))
    return [line.strip() for line in found if NAME.search(line) and not line.startswith("#")]


def _check(line: str) -> None:
    words = shlex.split(line[NAME.search(line).end() :], comments=True)
    command: Any = PROGRAM
    while words and hasattr(command, "commands") and not words[0].startswith("-"):
        assert words[0] in command.commands, f"no command {words[0]}: {line}"
        command = command.commands[words.pop(0)]
    known = {"--help"} | {
        name
        for parameter in command.params
        for name in (*parameter.opts, *parameter.secondary_opts)
    }
    given = {word.partition("=")[0] for word in words if word.startswith("--")}
    assert given <= known, f"unknown {sorted(given - known)}: {line}"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_and_options_exist(path: Path) -> None:
    for line in _lines(path):
        _check(line)


def test_command_lines_are_found() -> None:
    assert sum(len(_lines(path)) for path in PAGES) > 100
