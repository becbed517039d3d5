"""Styles of Labels layers that show classes, so that annotation, preview and result differ.

A class is drawn as a contour in its colour with a casing, a line beside it of contrasting
luminance, which makes it visible on backgrounds of any brightness; two styles also fill it with a
translucent colour, and the style "flat" only fills it. napari draws contours without a casing, and
never both contour and filling.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any, Literal, get_args

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap
from napari.utils.colormaps.standardize_color import rgb_to_hex, transform_color
from numpy.typing import NDArray

from napari_vrp_sam.plugin.layers.appearance.palette import (
    DARK_CASING,
    LIGHT_CASING,
    casing_colour,
    default_colour,
)
from napari_vrp_sam.plugin.layers.appearance.raster import (
    labelled_part,
    max_pool,
    oblique_stripes,
)
from napari_vrp_sam.plugin.layers.metadata import get_metadata, set_metadata, unwrap

Style = Literal["filled", "flat", "contour", "hatched", "dashed"]
STYLE = "style"
"""Metadata key of the style of a layer."""
FILL_OPACITY = 0.4
DASH_PERIOD, HATCH_PERIOD = 16, 6
"""In widths of the line, along the columns of the image; shorter along the rows."""
DRAWING = "_calculate_contour"
"""Attribute of a styled layer."""
LINES = 2
"""A contour and its casing: a layer's `contour` is the width of both together, in pixels."""
HIGHEST_LABEL = 255
HIGHEST_VALUE = 2**15 - 1
"""Highest value that stands for something else than a class, in layers of more than 8 bits."""
FILLED_CLASSES = 32
"""Classes up to this one are filled even if they are not listed."""
OTHER_LABELS_COLOUR = "gray"
SCREEN_PIXELS = 1.5
"""Minimum width of a contour on the screen."""


def style_of(layer: Any) -> Style | None:
    """Return the style of a layer; None if napari draws it."""
    style = get_metadata(layer, STYLE) if isinstance(layer, Labels) else None
    return style if style in get_args(Style) else None


def set_style(layer: Labels, style: Style) -> None:
    """Draw the classes of a layer in a style; they keep their colours."""
    layer = unwrap(layer)
    set_metadata(layer, **{STYLE: style})
    drawing = vars(layer).get(DRAWING)
    if drawing is not None and drawing.colormap is layer.colormap:
        layer.refresh(thumbnail=False, extent=False, highlight=False)
    else:
        colour_classes(layer, {}, _given_colours(layer.colormap))
    if not layer.contour:
        layer.contour = LINES  # last, or napari would draw contours of its own, which is slow


def colour_classes(
    layer: Labels, colours: Mapping[int, str], others: Mapping[int, str] | None = None
) -> None:
    """Colour the labels of a layer by class, and draw it in its style if it has one.

    `others` are colours of labels that may not be classes; default: those of classes.
    """
    layer = unwrap(layer)
    style = style_of(layer)
    # Labels that are not listed classes are visible, too.
    every = {number: default_colour(number) for number in range(1, HIGHEST_LABEL + 1)}
    every.update({**(others or {}), **colours})
    color_dict: dict[int | None, Any] = {None: OTHER_LABELS_COLOUR, 0: "transparent"}
    color_dict.update(every.items())
    if style is None:
        layer.colormap = DirectLabelColormap(color_dict=color_dict)
        return
    drawing = ClassDrawing(layer, every, listed=set(colours))
    drawing.colormap = DirectLabelColormap(color_dict=color_dict | drawing.extra_colours)
    # This replaces the method by which a layer chooses the values that it draws. It is private: a
    # future napari that does not call it would draw its own contours.
    vars(layer)[DRAWING] = drawing
    layer.colormap = drawing.colormap


def fit_contours(layer: Labels, zoom: float) -> None:
    """Set the width of the contours, so that they are visible at the zoom of the camera.

    Does nothing to layers that napari draws, or without contours.
    """
    if style_of(layer) is None or not layer.contour:
        return
    pixel = zoom * float(min(abs(layer.scale[-2:])))
    longest = max(layer.data.shape[-2:])
    width = int(np.clip(np.ceil(SCREEN_PIXELS / max(pixel, 1e-9)), 1, max(1, longest // 64)))
    if layer.contour != LINES * width:
        layer.contour = LINES * width


class ClassDrawing:
    """Drawing of the classes in a slice of a Labels layer.

    Parameters
    ----------
    layer : Labels
    colours : mapping of int to str
        Colour of each label.
    listed : set of int
        Classes, of which some may be above `FILLED_CLASSES`.

    Attributes
    ----------
    extra_colours : dict of int to colour
        Colours of the values that stand for casings and fillings.
    colormap : DirectLabelColormap or None
        Colormap for which this drawing was made.
    """

    def __init__(self, layer: Labels, colours: Mapping[int, str], listed: set[int]) -> None:
        self._layer = weakref.ref(layer)
        self.colormap: Any = None
        dtype = np.dtype(layer.dtype)
        highest = HIGHEST_VALUE if dtype.itemsize > 1 else np.iinfo(dtype).max
        free = (value for value in range(highest, 0, -1) if value not in listed)
        dark, light = next(free, 0), next(free, 0)
        casings = ((dark, DARK_CASING), (light, LIGHT_CASING))
        self.extra_colours: dict[int, Any] = {value: colour for value, colour in casings if value}
        size = HIGHEST_LABEL + 1
        self._casings = np.full(size, dark, dtype)
        self._gaps = np.full(size, light, dtype)
        self._fillings = np.zeros(size, dtype)
        for number in sorted({*listed, *range(1, FILLED_CLASSES + 1)}):
            value = next(free, 0)
            if value <= FILLED_CLASSES or number > HIGHEST_LABEL:
                break  # contours only, if there are very many classes
            red, green, blue = _rgb(colours[number])
            self.extra_colours[value] = (red, green, blue, FILL_OPACITY)
            self._fillings[number] = value
        for number, colour in colours.items():
            if number < size and casing_colour(colour) == LIGHT_CASING:
                self._casings[number], self._gaps[number] = light, dark

    def __call__(self, labels: NDArray[Any], data_slice: tuple[slice, ...]) -> NDArray[Any] | None:
        """Return the values to draw in a part of a slice; None to draw the labels as they are."""
        layer = self._layer()
        style = style_of(layer)
        if layer is None or style is None or layer.contour < 1 or labels.ndim != 2:
            return None
        replaced = layer.colormap is not self.colormap
        if replaced or not np.can_cast(self._casings.dtype, labels.dtype):
            return type(layer)._calculate_contour(layer, labels, data_slice)  # noqa: SLF001
        width = max(1, layer.contour // LINES)
        window = tuple(
            slice((part.start // width - 2) * width, (-(-part.stop // width) + 2) * width)
            for part in data_slice
        )
        window = tuple(slice(max(part.start, 0), part.stop) for part in window)
        block = labels[window]
        drawn = np.zeros(block.shape, block.dtype)
        labelled = labelled_part(block, width)
        if labelled is not None:
            origin = window[0].start + labelled[0].start, window[1].start + labelled[1].start
            drawn[labelled] = self._draw(block[labelled], width, style, origin)
        inner = tuple(
            slice(part.start - outer.start, part.stop - outer.start)
            for part, outer in zip(data_slice, window, strict=True)
        )
        return drawn[inner]

    def _draw(
        self, block: NDArray[Any], width: int, style: Style, origin: tuple[int, int]
    ) -> NDArray[Any]:
        """Return the values to draw in a block that starts at a multiple of the line's width."""
        lines = self._lines(block, width, style, origin)
        if style not in ("filled", "flat"):
            return lines
        fillings = self._look_up(self._fillings, block)
        # Classes that are too many to be filled keep their contours.
        flat = style == "flat" and bool(fillings[block > 0].all())
        return fillings if flat else np.where(lines, lines, fillings)

    def _lines(
        self, block: NDArray[Any], width: int, style: Style, origin: tuple[int, int]
    ) -> NDArray[Any]:
        """Return contours and casings of such a block."""
        cells = max_pool(block, width)
        around = np.pad(cells, 1, mode="edge")
        neighbours = [around[:-2, 1:-1], around[2:, 1:-1], around[1:-1, :-2], around[1:-1, 2:]]
        edges = np.zeros(cells.shape, bool)
        for neighbour in neighbours:
            edges |= neighbour != cells
        edges &= cells > 0
        nearest = np.maximum.reduce(neighbours)
        lines = np.where(cells > 0, 0, self._look_up(self._casings, nearest))
        lines[nearest == 0] = 0
        drawn = cells
        if style == "dashed":
            gaps = oblique_stripes(cells.shape, origin, width, 2, DASH_PERIOD)
            # White and not dark gaps, which would be lost on a dark image.
            drawn = np.where(gaps, self._look_up(self._gaps, cells), cells)
        elif style == "hatched":
            stripes = oblique_stripes(cells.shape, origin, width, 1, HATCH_PERIOD)
            lines = np.where(stripes & (lines == 0), self._look_up(self._fillings, cells), lines)
        lines = np.where(edges, drawn, lines).astype(block.dtype, copy=False)
        if width > 1:
            lines = lines.repeat(width, 0)[: block.shape[0]].repeat(width, 1)[:, : block.shape[1]]
        return lines

    @staticmethod
    def _look_up(table: NDArray[Any], labels: NDArray[Any]) -> NDArray[Any]:
        if labels.dtype == np.uint8:
            return table[labels]
        return table[np.where((labels > 0) & (labels <= HIGHEST_LABEL), labels, 0)]


def _given_colours(colormap: Any) -> dict[int, str]:
    """Return the colours that a user or an earlier version gave to the labels."""
    if not isinstance(colormap, DirectLabelColormap):
        return {}
    return {
        label: rgb_to_hex(colour)[0][:7]
        for label, colour in colormap.color_dict.items()
        if label is not None and 0 < label <= HIGHEST_LABEL
    }


def _rgb(colour: str) -> tuple[float, float, float]:
    red, green, blue = transform_color(colour)[0, :3].tolist()
    return red, green, blue
