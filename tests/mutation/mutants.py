"""Mutants of a module: its syntax tree with one small change each."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.BitXor: ast.BitAnd,
}  # fmt: skip
NAMES = {"min": "max", "max": "min", "any": "all", "all": "any"}
SKIPPED = (ast.Raise, ast.JoinedStr, ast.AnnAssign, ast.Import, ast.ImportFrom)
"""Messages, annotations of types, and imports."""


@dataclass(frozen=True)
class Mutant:
    """A changed module, and the change as a line for a person."""

    tree: ast.Module
    change: str


def mutants(source: str) -> Iterator[Mutant]:
    """Yield all mutants of a source text."""
    tree = ast.parse(source)
    places = list(_places(tree))
    for number, node in enumerate(places):
        changed = copy.deepcopy(tree)
        place = list(_places(changed))[number]
        before = ast.unparse(place)
        _change(place)
        if (after := ast.unparse(place)) != before:
            yield Mutant(changed, f"line {node.lineno}: {before}  ->  {after}")


def _places(node: ast.AST) -> Iterator[ast.expr | ast.stmt]:
    """Yield the nodes that can be changed, in a fixed order."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, SKIPPED) and not (isinstance(child, ast.AnnAssign) and child.value):
            continue
        if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
            continue  # documentation
        if isinstance(child, ast.arg) or (isinstance(child, ast.keyword) and child.arg == "strict"):
            continue  # `strict` of `zip` only guards against mistakes of ours
        if isinstance(child, ast.expr | ast.stmt) and _can_change(child):
            yield child
        if isinstance(child, ast.AnnAssign) and child.value is not None:
            yield from _places(ast.Expression(child.value))
        elif isinstance(child, ast.FunctionDef):
            yield from _places(child.args)
            yield from _places(ast.Module(child.body, []))
        elif isinstance(child, ast.ClassDef):
            yield from _places(ast.Module(child.body, []))
        else:
            yield from _places(child)


def _can_change(node: ast.AST) -> bool:
    match node:
        case ast.Compare(ops=[one]):
            return type(one) in COMPARISONS
        case ast.BinOp(op=op):
            return type(op) in OPERATORS
        case ast.UnaryOp(op=op):
            return isinstance(op, ast.Not | ast.USub | ast.Invert)
        case ast.Constant(value=value):
            return isinstance(value, bool | int | float)
        case ast.Call(func=ast.Name(id=name)):
            return name in NAMES
        case ast.Return(value=value):
            return value is not None and not isinstance(value, ast.Constant)
    return isinstance(node, ast.BoolOp | ast.IfExp)


def _change(node: ast.AST) -> None:
    match node:
        case ast.Compare(ops=[one]):
            node.ops = [COMPARISONS[type(one)]()]
        case ast.BinOp(op=op):
            node.op = OPERATORS[type(op)]()
        case ast.BoolOp(op=op):
            node.op = ast.Or() if isinstance(op, ast.And) else ast.And()
        case ast.IfExp():
            node.body, node.orelse = node.orelse, node.body
        case ast.UnaryOp():
            node.op = ast.UAdd() if isinstance(node.op, ast.USub) else _twice(node)
        case ast.Constant(value=bool()):
            node.value = not node.value
        case ast.Constant(value=int() | float()):
            node.value += 1
        case ast.Call(func=ast.Name(id=name)):
            node.func = ast.Name(NAMES[name], ast.Load())
        case ast.Return():
            node.value = ast.Constant(None)


def _twice(node: ast.UnaryOp) -> ast.unaryop:
    """Negate once more, which removes the negation."""
    node.operand = ast.UnaryOp(copy.copy(node.op), node.operand)
    return node.op
