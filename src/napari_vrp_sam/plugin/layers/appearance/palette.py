"""Default colours of classes: bright, distinguishable for colour-blind users, with a casing."""

from __future__ import annotations

import numpy as np
from napari.utils.colormaps.standardize_color import transform_color

from napari_vrp_sam.plugin.layers.metadata import NOT_THIS

PALETTE = (
    "#E69F00",  # Okabe and Ito (2008): orange
    "#56B4E9",  # sky blue
    "#CC79A7",  # reddish purple
    "#F0E442",  # yellow
    "#009E73",  # bluish green
    "#FFAABB",  # Tol (2021), light: pink
    "#99DDFF",  # light cyan
    "#EE7733",  # Tol, vibrant: orange
    "#3F90DA",  # Petroff (2021): blue
    "#B9AC70",  # beige
)
"""Colours of published colour-blind-safe sets that have a contrast of 3:1 on black and dark grey.

The dark colours of these sets (blue, vermilion, grey) are left out, because no single casing makes
them visible on every background. Among the others, each next colour has the largest distance to the
previous ones, the smallest of those for normal vision, protanopia, deuteranopia and tritanopia.
"""
NOT_THIS_COLOUR = "#e8e8e8"
"""Colour of "Not this", which is unlike the saturated colours of the classes."""
LIGHTER = 0.45
"""Share of white in the colours of the second ten classes."""
DARK_CASING, LIGHT_CASING = "#000000", "#FFFFFF"
CASING_THRESHOLD = 0.18
"""Colours of a lower relative luminance get the light casing."""


def default_colour(number: int) -> str:
    """Return the colour, "#rrggbb", of a class that the user has not recoloured.

    The colours repeat after 20 classes.
    """
    if number == NOT_THIS:
        return NOT_THIS_COLOUR
    index = (number - 1) % (2 * len(PALETTE))
    colour = PALETTE[index % len(PALETTE)]
    share = LIGHTER if index >= len(PALETTE) else 0.0
    channels = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(c + share * (255 - c)):02x}" for c in channels)


def casing_colour(colour: str) -> str:
    """Return the colour of the line beside a contour of another colour."""
    dark = relative_luminance(colour) >= CASING_THRESHOLD
    return DARK_CASING if dark else LIGHT_CASING


def relative_luminance(colour: str) -> float:
    """Return the relative luminance of a colour, 0 to 1, as defined by the WCAG 2.2."""
    channels = transform_color(colour)[0, :3].astype(float)
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def contrast(first: str, second: str) -> float:
    """Return the contrast ratio of two colours, 1 to 21, as defined by the WCAG 2.2."""
    low, high = sorted((relative_luminance(first), relative_luminance(second)))
    return (high + 0.05) / (low + 0.05)
