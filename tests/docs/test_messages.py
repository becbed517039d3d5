"""Messages that the page on troubleshooting explains exist in the program."""

from __future__ import annotations

import ast
import re

import pytest
from tests.docs.pages import DOCS, ROOT

PAGE = DOCS / "help" / "troubleshooting.md"
MESSAGES = re.findall(r"^`([^`]+)`\n:", PAGE.read_text("utf-8"), flags=re.MULTILINE)


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """All texts of the program; a value in a text is replaced by "…"."""
    found = []
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
            elif isinstance(node, ast.JoinedStr):
                parts = (
                    part.value if isinstance(part, ast.Constant) else "…" for part in node.values
                )
                found.append("".join(map(str, parts)))
    return found


@pytest.mark.parametrize("message", MESSAGES)
def test_an_explained_message_exists(message: str, texts: list[str]) -> None:
    assert any(message in text for text in texts), "correct or remove it in troubleshooting.md"


def test_the_page_explains_messages() -> None:
    assert len(MESSAGES) > 25
