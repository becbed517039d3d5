"""Mutations of bytes and of JSON, chosen by a random generator."""

from __future__ import annotations

import copy
import json
import random
import struct
from typing import Any

NUMBERS = (0, 1, 2, 7, 127, 128, 255, 256, 32767, 65535, 65536, 2**31 - 1, 2**31, 2**32, 2**63)
VALUES: tuple[Any, ...] = (
    None, True, -1, *NUMBERS, 0.5, 1e308, float("nan"), "", "a", "../../../outside",
    "/etc/hostname", "http://127.0.0.1:9/a", "|O", "uint8", "pickle", "\0", "x" * 3000, [], {},
    [[]], [0, 0], [-1, 2**40], {"id": "pickle"},
)  # fmt: skip


def mutated_bytes(content: bytes, rng: random.Random) -> bytes:
    """Change some bytes: flip, overwrite by numbers, cut, insert, repeat or shorten."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        if not data:
            return b"\0"
        # Headers are short and decide most.
        at = rng.randrange(len(data) if rng.random() < 0.5 else min(len(data), 512))
        match rng.randrange(7):
            case 0:
                data[at] ^= 1 << rng.randrange(8)
            case 1:
                data[at] = rng.randrange(256)
            case 2:
                form = rng.choice(("<B", "<H", "<I", "<Q", ">H", ">I", ">Q"))
                limit = 1 << 8 * struct.calcsize(form)
                data[at : at + struct.calcsize(form)] = struct.pack(
                    form, rng.choice(NUMBERS) % limit
                )
            case 3:
                del data[at : at + rng.choice((1, 4, 64, 1024))]
            case 4:
                data[at:at] = rng.randbytes(rng.choice((1, 4, 64)))
            case 5:
                part = data[at : at + rng.choice((4, 32, 256))]
                to = rng.randrange(len(data))
                data[to : to + len(part)] = part
            case 6:
                del data[at:]
    return bytes(data)


def mutated_json(content: Any, rng: random.Random) -> Any:
    """Change some values of parsed JSON: replace, remove, repeat, wrap or exchange them."""
    content = json.loads(json.dumps(content))
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        places = list(_places(content))
        if not places:
            return rng.choice(VALUES)
        parent, key = rng.choice(places)
        match rng.randrange(6):
            case 0 | 1:
                parent[key] = copy.deepcopy(rng.choice(VALUES))
            case 2:
                del parent[key]
            case 3:
                parent[key] = [parent[key]] * rng.choice((1, 2, 50))
            case 4:
                other, name = rng.choice(places)
                if (isinstance(other, dict) and name in other) or (
                    isinstance(other, list) and name < len(other)
                ):
                    parent[key] = json.loads(json.dumps(other[name]))
            case 5:
                number = parent[key]
                if isinstance(number, int | float):
                    parent[key] = rng.choice((-number, number * 1000, number + 1, number / 3))
                else:
                    parent[key] = {"a": number}
    if rng.random() < 0.01:
        for _ in range(3000):
            content = [content]
    return content


def _places(content: Any) -> Any:
    """Yield the containers and keys of all values."""
    items = (
        content.items()
        if isinstance(content, dict)
        else enumerate(content)
        if isinstance(content, list)
        else ()
    )
    for key, value in items:
        yield content, key
        yield from _places(value)


def dumped(content: Any) -> bytes:
    """Return JSON as text; nesting that Python cannot write becomes brackets."""
    try:
        return json.dumps(content).encode()
    except RecursionError:
        return b"[" * 3000 + b"]" * 3000
