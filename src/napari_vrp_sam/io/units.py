"""Units of lengths and times: symbols and conversion, with pint."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from napari_vrp_sam.io.metadata import ImageMetadata

UNIT_NAMES = {"metre": "meter", "micron": "micrometer", "um": "micrometer"}
"""Other spellings of units, which pint does not know or knows as something else."""


def unit_symbol(name: str) -> str:
    """Return the symbol of a unit, such as "µm" for "micrometer"; unknown units as they are.

    Examples
    --------
    >>> unit_symbol("micrometer"), unit_symbol("second"), unit_symbol("US survey foot")
    ('µm', 's', 'US survey foot')
    """
    unit = _unit(name)
    return name if unit is None else f"{unit:~}"


def unit_suffix(name: str) -> str:
    """Return a unit in ASCII without spaces, for names of columns, such as "um" for "micrometer".

    Examples
    --------
    >>> unit_suffix("micrometer"), unit_suffix("degree"), unit_suffix("US survey foot")
    ('um', 'deg', 'us_survey_foot')
    """
    symbol = unit_symbol(name).replace("\N{MICRO SIGN}", "u").replace("\N{DEGREE SIGN}", "deg")
    return symbol if symbol.isascii() and symbol.isalnum() else name.lower().replace(" ", "_")


def convert(value: float, unit: str, target: str) -> float | None:
    """Convert a value from one unit to another; None if that is impossible.

    Examples
    --------
    >>> convert(500.0, "nanometer", "micrometer")
    0.5
    """
    if unit == target:
        return value
    one, other = _unit(unit), _unit(target)
    if one is None or other is None or not one.is_compatible_with(other):
        return None
    return round(float((value * one).to(other).magnitude), 12)


def lengths(metadata: ImageMetadata) -> tuple[dict[str, float], str]:
    """Return the size of a pixel along Z, Y and X in one unit.

    Returns
    -------
    sizes : dict of str to float
        Size by axis, in the unit of X; without Z if that is not a length. Empty if the size along
        Y or X is unknown or has no unit.
    unit : str
        Name of the unit; empty if the sizes are.
    """
    unit = metadata.units.get("X", "")
    sizes: Mapping[str, float] = metadata.pixel_size
    if not unit or unit == "pixel" or not {"X", "Y"} <= sizes.keys():
        return {}, ""
    known = {
        axis: convert(sizes[axis], metadata.units.get(axis, unit), unit)
        for axis in "ZYX"
        if axis in sizes
    }
    found = {axis: abs(size) for axis, size in known.items() if size is not None}
    return (found, unit) if {"X", "Y"} <= found.keys() else ({}, "")


@cache
def _unit(name: str) -> Any:
    """Return the unit of pint; None for unknown names."""
    import pint

    registry: Any = pint.application_registry
    try:
        return registry.Unit(UNIT_NAMES.get(name, name))
    except (pint.PintError, ValueError, AttributeError, TypeError):
        return None
