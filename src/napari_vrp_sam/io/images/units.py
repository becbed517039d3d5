"""Names of units: formats abbreviate them in many ways."""

from __future__ import annotations

_ABBREVIATIONS = {
    "nanometer": ("nm", "nanometre", "nanometers"),
    "micrometer": ("um", "µm", "μm", "micron", "microns", "micrometre", "micrometers", "\\u00b5m"),
    "millimeter": ("mm", "millimetre", "millimeters"),
    "centimeter": ("cm", "centimetre", "centimeters"),
    "meter": ("m", "meters"),
    "angstrom": ("å", "angstroms", "a"),
    "inch": ("in", "inches"),
    "second": ("s", "sec", "seconds"),
    "millisecond": ("ms", "msec", "milliseconds"),
    "microsecond": ("us", "µs", "μs", "usec", "microseconds"),
    "minute": ("min", "minutes"),
    "hour": ("h", "hr", "hours"),
    "day": ("d", "days"),
    "degree": ("deg", "degrees"),
    "pixel": ("px", "pixels"),
}
_NAMES = {short: name for name, shorts in _ABBREVIATIONS.items() for short in (name, *shorts)}


def unit_name(unit: str) -> str:
    """Return the singular English name of a unit; unknown ones are returned as they are.

    Examples
    --------
    >>> unit_name("µm"), unit_name("sec"), unit_name("furlong")
    ('micrometer', 'second', 'furlong')
    """
    return _NAMES.get(unit.strip().lower(), unit.strip())
