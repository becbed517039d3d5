"""Contact sheets: rows of images side by side, with headings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from skimage.segmentation import find_boundaries

COLOURS = np.array(
    [(0, 0, 0), (0, 190, 255), (255, 150, 0), (190, 90, 255), (60, 210, 90), (255, 80, 110)]
)
"""RGB colours of the classes 1, 2, ... (0 is transparent), chosen for gray and stained tissue."""

_TEXT, _SUBTITLE, _BACKGROUND = (20, 20, 20), (110, 110, 110), (255, 255, 255)
_GAP = 10


def to_rgb(
    frame: NDArray[Any], contrast_limits: tuple[float, float] | None = None
) -> NDArray[np.uint8]:
    """Return a frame as RGB, uint8.

    Parameters
    ----------
    frame : ndarray, shape (Y, X), (Y, X, 1) or (Y, X, 3)
    contrast_limits : tuple of float, optional
        Intensities of black and white (default: 0 and 255).
    """
    if contrast_limits is not None:
        low, high = contrast_limits
        scaled = (frame.astype(np.float64) - low) / max(high - low, 1e-9)
        frame = (scaled * 255).clip(0, 255)
    picture = np.atleast_3d(frame).astype(np.uint8)
    return np.repeat(picture, 3, axis=-1) if picture.shape[-1] == 1 else picture


def overlay(
    picture: NDArray[np.uint8], labels: NDArray[Any], opacity: float = 0.35
) -> NDArray[np.uint8]:
    """Draw labels over an image, as a tint with an outline.

    Parameters
    ----------
    picture : ndarray, shape (Y, X, 3), uint8
    labels : ndarray of integers or bool, shape (Y, X)
    opacity : float
        Opacity of the tint, 0..1.
    """
    labels = labels.astype(int)
    colour = COLOURS[np.where(labels > 0, (labels - 1) % (len(COLOURS) - 1) + 1, 0)]
    weight = np.where(labels > 0, opacity, 0.0)
    weight[find_boundaries(labels, mode="inner")] = 1
    return np.asarray(
        picture * (1 - weight[..., None]) + colour * weight[..., None], dtype=np.uint8
    )


def contact_sheet(
    rows: Sequence[Sequence[NDArray[np.uint8] | None]],
    headings: Sequence[str],
    row_titles: Sequence[str],
    *,
    title: str = "",
    cell_width: int = 256,
) -> Image.Image:
    """Arrange images in rows and columns.

    Parameters
    ----------
    rows : sequence of sequence of ndarray or None
        Images of shape (Y, X, 3), uint8; None for an empty cell.
    headings : sequence of str
        Headings of the columns.
    row_titles : sequence of str
        Titles above the rows.
    title : str
    cell_width : int
        Width of a column in pixels, to which images are resized.

    Returns
    -------
    PIL.Image.Image
    """
    large, middle, small = (ImageFont.load_default(size) for size in (20, 17, 15))
    pictures = [
        [None if cell is None else _fit(Image.fromarray(cell), cell_width) for cell in row]
        for row in rows
    ]
    heights = [max((cell.height for cell in row if cell), default=0) for row in pictures]
    top = _GAP + (34 if title else 0) + 28
    width = len(headings) * (cell_width + _GAP) + _GAP
    sheet = Image.new("RGB", (width, top + sum(h + 24 + _GAP for h in heights)), _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    draw.text((_GAP, _GAP), title, _TEXT, large)
    for column, heading in enumerate(headings):
        draw.text((_GAP + column * (cell_width + _GAP), top - 26), heading, _TEXT, middle)
    y = top
    for row, height, row_title in zip(pictures, heights, row_titles, strict=True):
        draw.text((_GAP, y + 2), row_title, _SUBTITLE, small)
        y += 24
        for column, cell in enumerate(row):
            if cell is not None:
                sheet.paste(cell, (_GAP + column * (cell_width + _GAP), y))
        y += height + _GAP
    return sheet


def _fit(picture: Image.Image, width: int) -> Image.Image:
    height = max(1, round(picture.height * width / picture.width))
    # Interpolation would hide the pixels of a result.
    enlarged = width > picture.width
    method = Image.Resampling.NEAREST if enlarged else Image.Resampling.LANCZOS
    return picture.resize((width, height), method)
