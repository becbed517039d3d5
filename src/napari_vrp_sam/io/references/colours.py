"""Masks that were painted in colours: each colour is a class, black and transparent are not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.annotations.labels import MAX_CLASSES
from napari_vrp_sam.errors import InputError

WHITE = 0xFFFFFF


def labels_of_colours(pictures: Sequence[NDArray[Any]]) -> tuple[list[NDArray[Any]], str]:
    """Return the labels of pictures, and a sentence about the colours of the classes.

    Gray pictures keep their values. Colours are numbered from the darkest, the same in all
    pictures. White is background if it covers more than half of pictures without black.

    Parameters
    ----------
    pictures : sequence of ndarray, shape (Y, X) or (Y, X, 3)
        Integers or bool; masked where the picture is transparent.

    Raises
    ------
    InputError
        If there are more colours than classes: a photograph, or smooth edges.
    """
    filled = [_over_black(picture) for picture in pictures]
    if all(picture.ndim == 2 for picture in filled):
        return filled, ""
    packed = [_packed(picture) for picture in filled]
    on_paper = _is_painted_on_white(packed)
    if on_paper:
        packed = [np.where(values == WHITE, 0, values) for values in packed]
    colours: set[int] = set()
    for values in packed:
        colours |= set(np.unique(values).tolist()) - {0}
        if len(colours) > MAX_CLASSES:
            raise InputError(
                f"The mask has at least {len(colours)} colours, more than the {MAX_CLASSES} "
                "classes that can be learned: paint each class in one colour, without smooth edges."
            )
    ordered = sorted(colours, key=_brightness)
    numbers = np.array([ordered.index(colour) + 1 for colour in sorted(colours)] or [0], np.uint8)
    by_value = np.array(sorted(colours) or [0])
    labels = [
        np.where(values > 0, numbers[np.searchsorted(by_value, values) % len(by_value)], 0)
        for values in packed
    ]
    listed = ", ".join(f"{n} #{colour:06x}" for n, colour in enumerate(ordered, start=1))
    ground = "white" if on_paper else "black"
    return labels, f"The classes are the colours {listed}; {ground} is background."


def _is_painted_on_white(packed: Sequence[NDArray[np.int64]]) -> bool:
    white = sum(int(np.count_nonzero(values == WHITE)) for values in packed)
    no_black = all((values != 0).all() for values in packed)
    return no_black and 2 * white > sum(values.size for values in packed)


def _over_black(picture: NDArray[Any]) -> NDArray[Any]:
    """Return a picture that is black where it was transparent; gray ones have two axes."""
    hidden = np.asarray(np.ma.getmaskarray(picture))
    colours = np.ma.filled(picture, 0)
    if colours.ndim == 3:
        hidden = np.asarray(hidden.any(axis=-1))
        if (colours == colours[..., :1]).all():
            colours = colours[..., 0]
    if hidden.any() and not colours.any():  # drawn in black
        return ~hidden
    return colours


def _packed(colours: NDArray[Any]) -> NDArray[np.int64]:
    """Return one number for each colour: red, green and blue of 8 bits."""
    if colours.ndim == 2:
        colours = np.repeat(colours[..., None], 3, axis=-1)
    if colours.dtype.itemsize > 1:
        colours = colours // 257
    red, green, blue = (colours[..., at].astype(np.int64) for at in range(3))
    return (red << 16) | (green << 8) | blue


def _brightness(colour: int) -> tuple[int, int]:
    return (colour >> 16) + (colour >> 8 & 255) + (colour & 255), colour
