from __future__ import annotations

import json
import math
from enum import Enum
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_vrp_sam.io.sessions.values import as_kept, plain

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
KEYS = st.text() | st.integers() | st.booleans()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner), max_leaves=12
)


@given(VALUES)
def test_values_come_back_through_json(value: Any) -> None:
    text = json.dumps(plain(value), allow_nan=False)
    assert as_kept(value) == value
    assert json.loads(text) == plain(value)


@given(VALUES)
def test_a_copy_is_kept_like_the_original(value: Any) -> None:
    assert plain(as_kept(value)) == plain(value)


def test_what_json_has_no_words_for() -> None:
    class Symbol(Enum):
        DISC = "disc"

    assert as_kept(np.float32([0.5, np.inf])) == [0.5, math.inf]
    assert math.isnan(as_kept({"a": np.float64("nan")})["a"])
    assert as_kept((Symbol.DISC, np.int64(3), {1: 0.25, None: "x"})) == [
        "disc",
        3,
        {1: 0.25, None: "x"},
    ]


def test_anything_else_is_refused() -> None:
    with pytest.raises(TypeError, match="object cannot be kept"):
        plain({"a": [object()]})
