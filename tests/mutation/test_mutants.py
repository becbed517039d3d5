"""Mutants are valid modules that differ from the original in what is executed."""

from __future__ import annotations

import ast

from tests.mutation.mutants import mutants

SOURCE = '''
"""Documentation with 1 number."""

def smaller(a: int = 1, *, strict: bool = True) -> int:
    """Return 3."""
    if not strict and a <= 2:
        raise ValueError(f"{a + 1} is wrong")
    return min(a, -4) if a in (5, 6) else a * 7
'''


def test_each_change_is_made_once() -> None:
    found = list(mutants(SOURCE))
    changes = [mutant.change.split(": ", 1)[1] for mutant in found]
    assert "not strict  ->  not not strict" in changes
    assert "a <= 2  ->  a < 2" in changes
    assert "min(a, -4)  ->  max(a, -4)" in changes
    assert "a in (5, 6)  ->  a not in (5, 6)" in changes
    assert "a * 7  ->  a // 7" in changes
    assert "True  ->  False" in changes
    assert not [change for change in changes if "wrong" in change or "a + 1" in change]
    for mutant in found:
        text = ast.unparse(mutant.tree)
        compile(text, "mutant", "exec")
        assert text != ast.unparse(ast.parse(SOURCE))
    assert len({ast.unparse(mutant.tree) for mutant in found}) == len(found)
