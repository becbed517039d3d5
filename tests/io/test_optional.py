from __future__ import annotations

import pytest

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.optional import require


def test_a_missing_package_is_named_with_its_extra() -> None:
    require("numpy", "geo", "Arrays")
    with pytest.raises(
        InputError, match=r"^Maps need the package no_such: .* 'napari-vrp-sam\[geo\]'"
    ):
        require("no_such", "geo", "Maps")
