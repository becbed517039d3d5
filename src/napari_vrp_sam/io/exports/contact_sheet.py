"""Contact sheets: rows of pictures side by side, with headings, to judge a result at a glance."""

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
"""Of the classes 1, 2, ... (0 stays transparent); told apart on gray and on stained tissue."""

_INK, _FAINT, _PAPER = (20, 20, 20), (110, 110, 110), (255, 255, 255)
_GAP = 10


def as_picture(frame: NDArray[Any], limits: tuple[float, float] | None = None) -> NDArray[np.uint8]:
    """A frame as RGB, uint8.

    Parameters
    ----------
    frame : ndarray, shape (Y, X), (Y, X, 1) or (Y, X, 3)
    limits : tuple of float, optional
        Intensities that become black and white; uint8 frames stay as they are unless given.
    """
    if limits is not None:
        low, high = limits
        scaled = (frame.astype(np.float64) - low) / max(high - low, 1e-9)
        frame = (scaled * 255).clip(0, 255)
    picture = np.atleast_3d(frame).astype(np.uint8)
    return np.repeat(picture, 3, axis=-1) if picture.shape[-1] == 1 else picture


def overlay(
    picture: NDArray[np.uint8], labels: NDArray[Any], opacity: float = 0.35
) -> NDArray[np.uint8]:
    """Draw labels over a picture: a tint inside, a line around.

    Parameters
    ----------
    picture : ndarray, shape (Y, X, 3), uint8
    labels : ndarray of integers or bool, shape (Y, X)
    opacity : float
        Of the tint, 0..1.
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
    """Lay pictures out in rows and columns.

    Parameters
    ----------
    rows : sequence of sequence of ndarray or None
        Pictures of shape (Y, X, 3), uint8; None leaves a cell empty.
    headings : sequence of str
        One a column.
    row_titles : sequence of str
        One a row, written above it.
    title : str
    cell_width : int
        Width of a column in pixels; pictures are scaled to it.

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
    sheet = Image.new("RGB", (width, top + sum(h + 24 + _GAP for h in heights)), _PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((_GAP, _GAP), title, _INK, large)
    for column, heading in enumerate(headings):
        draw.text((_GAP + column * (cell_width + _GAP), top - 26), heading, _INK, middle)
    y = top
    for row, height, row_title in zip(pictures, heights, row_titles, strict=True):
        draw.text((_GAP, y + 2), row_title, _FAINT, small)
        y += 24
        for column, cell in enumerate(row):
            if cell is not None:
                sheet.paste(cell, (_GAP + column * (cell_width + _GAP), y))
        y += height + _GAP
    return sheet


def _fit(picture: Image.Image, width: int) -> Image.Image:
    height = max(1, round(picture.height * width / picture.width))
    # Enlarged pixels stay pixels: a smooth enlargement would hide what the result is like.
    enlarged = width > picture.width
    method = Image.Resampling.NEAREST if enlarged else Image.Resampling.LANCZOS
    return picture.resize((width, height), method)
