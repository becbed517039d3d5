from __future__ import annotations

import json
import math
from enum import Enum
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_vrp_sam.io.sessions.values import json_copy, to_json_value

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
KEYS = st.text() | st.integers() | st.booleans()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner), max_leaves=12
)


@given(VALUES)
def test_values_are_restored_from_json(value: Any) -> None:
    text = json.dumps(to_json_value(value), allow_nan=False)
    assert json_copy(value) == value
    assert json.loads(text) == to_json_value(value)


@given(VALUES)
def test_a_copy_becomes_the_same_json(value: Any) -> None:
    assert to_json_value(json_copy(value)) == to_json_value(value)


def test_values_that_json_cannot_express() -> None:
    class Symbol(Enum):
        DISC = "disc"

    assert json_copy(np.float32([0.5, np.inf])) == [0.5, math.inf]
    assert math.isnan(json_copy({"a": np.float64("nan")})["a"])
    assert json_copy((Symbol.DISC, np.int64(3), {1: 0.25, None: "x"})) == [
        "disc",
        3,
        {1: 0.25, None: "x"},
    ]


def test_other_objects_are_refused() -> None:
    with pytest.raises(TypeError, match="object cannot be saved"):
        to_json_value({"a": [object()]})
