"""Tables of points, and of shapes that napari saved, as CSV."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.references.annotations import AnnotatedStack, Drawing, StoredAnnotations
from napari_vrp_sam.io.references.classes import Classes, class_column, number_classes
from napari_vrp_sam.io.references.reading import AnnotationReader, Request

if TYPE_CHECKING:
    import pandas as pd

NAMES = {
    "Y": ("y", "row", "position_y", "centroid-0", "y_px", "ypos"),
    "X": ("x", "column", "col", "position_x", "centroid-1", "x_px", "xpos"),
    "Z": ("z", "plane", "position_z", "z_px"),
    "T": ("t", "time", "position_t", "timepoint"),
    "frame": ("frame",),
    "slice": ("slice",),
}
"""Usual names of the columns; frames are counted from 0, slices of ImageJ from 1."""

TRACKMATE = ("POSITION_X", "POSITION_Y")


def _read(request: Request) -> StoredAnnotations:
    import pandas as pd

    table = pd.read_csv(request.path, sep=None, engine="python", skipinitialspace=True)
    table.columns = [str(name).strip() for name in table.columns]
    notes: tuple[str, ...] = ()
    if set(TRACKMATE) <= set(table.columns):
        table, notes = _from_trackmate(table, request)
    table = table.apply(_with_decimal_points)
    if table.empty:
        raise InputError(f"{request.path} has no rows: save at least one point.")
    column = class_column(list(table.columns), request.class_column)
    axes = sorted(name for name in table.columns if re.fullmatch(r"axis-\d+", name))
    shapes = "shape-type" in table
    groups = table.groupby("index") if shapes else None
    rows = table if groups is None else groups.first()
    values = [None] * len(rows) if column is None else rows[column]
    classes = number_classes(values, chosen=request.class_column is not None)
    if groups is not None:
        drawings = tuple(_shapes(groups, axes, classes, request.stack))
    else:
        places = _napari_places(table[axes]) if axes else _named_places(table, request)
        drawings = tuple(
            Drawing("point", (np.array([point]),), of.class_id, _frame(at, request), of.role)
            for (at, point), of in zip(places, classes.found, strict=True)
            if of is not None
        )
    return StoredAnnotations(
        drawings=drawings, class_names=classes.names, notes=notes + classes.notes
    )


def _from_trackmate(table: pd.DataFrame, request: Request) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return the spots of TrackMate, which have units and three more headings, in pixels."""
    import pandas as pd

    columns = [*TRACKMATE, *(name for name in ("POSITION_Z", "FRAME") if name in table)]
    places = table[columns].apply(pd.to_numeric, errors="coerce").dropna()
    stack, sizes = request.stack, request.stack.metadata.pixel_size
    for name in set(columns) - {"FRAME"}:
        places[name] /= sizes.get(name[-1], 1)
    if len(stack.lead_axes) == 1 and "POSITION_Z" in places:
        in_depth = stack.lead_axes == "Z" and places["POSITION_Z"].nunique() > 1
        places = places.drop(columns="FRAME" if in_depth else "POSITION_Z", errors="ignore")
    if request.class_column in table:
        places[request.class_column] = table[request.class_column]
    unit = stack.metadata.units.get("X", "units of the image") if "X" in sizes else "pixels"
    return places, (f"Spots of TrackMate are read, with positions in {unit}.",)


def _with_decimal_points(column: Any) -> Any:
    """Return a column whose numbers have a comma, as in many countries, as numbers."""
    if column.dtype.kind in "biuf":
        return column
    text = column.astype(str).str.strip()
    decimal = text.str.fullmatch(r"[-+]?\d+(,\d+)?([eE][-+]?\d+)?").all()
    has_commas = text.str.contains(",", regex=False).any()
    return text.str.replace(",", ".").astype(float) if decimal and has_commas else column


def _napari_places(table: pd.DataFrame) -> Iterator[tuple[Any, tuple[float, float]]]:
    """Yield the leading coordinates, and (row, column), of the points of napari."""
    for row in table.to_numpy(np.float64):
        yield tuple(row[:-2]), (float(row[-2]), float(row[-1]))


def _named_places(
    table: pd.DataFrame, request: Request
) -> Iterator[tuple[Any, tuple[float, float]]]:
    lower = {name.lower(): name for name in table.columns}
    found = {
        axis: lower[next(name for name in names if name in lower)]
        for axis, names in NAMES.items()
        if any(name in lower for name in names)
    }
    if not {"Y", "X"} <= set(found):
        raise InputError(
            f"{request.path} has no columns of coordinates: name them y and x, in pixels, and z, t "
            "or frame."
        )
    for row in table.to_dict("records"):
        at = {axis: float(row[name]) for axis, name in found.items() if axis not in "YX"}
        yield at, (float(row[found["Y"]]), float(row[found["X"]]))


def _frame(at: Any, request: Request) -> int | None:
    """Return the index of a frame from napari's leading coordinates, or from named ones."""
    stack = request.stack
    if isinstance(at, dict):
        if "slice" in at:
            at["frame"] = at.pop("slice") - 1
        if "frame" in at and len(stack.lead_axes) == 1:
            at = {stack.lead_axes: at["frame"]}
        elif "frame" in at:
            at.setdefault("T", at.pop("frame"))
        position = {axis: round(value) for axis, value in at.items() if axis in ("T", "Z")}
        if len(stack.lead_axes) == 1 and len(position) == 1:
            position = {stack.lead_axes: next(iter(position.values()))}
        return stack.frame_at(**position)
    if len(at) not in (0, len(stack.lead_axes)):
        raise InputError(
            f"{request.path} has {len(at) + 2} coordinates, but the stack has "
            f"{len(stack.lead_axes) + 2} axes without channels: give the stack that was annotated."
        )
    return stack.frame_at(**{a: round(v) for a, v in zip(stack.lead_axes, at, strict=False)})


def _shapes(
    groups: Any, axes: Sequence[str], classes: Classes, stack: AnnotatedStack
) -> Iterator[Drawing]:
    for (_, rows), of in zip(groups, classes.found, strict=True):
        if of is None:
            continue
        points = rows[list(axes)].to_numpy(np.float64)
        lead = np.floor(points[:, :-2].mean(axis=0) + 0.5).astype(int).tolist()
        frame = stack.frame_at(**dict(zip(stack.lead_axes, lead, strict=False)))
        kind = str(rows["shape-type"].iloc[0])
        shape: Any = "path" if kind == "line" else kind
        yield Drawing(shape, (points[:, -2:],), of.class_id, frame, of.role)


def _recognises(path: Path, _head: bytes) -> bool:
    return path.suffix.lower() in (".csv", ".tsv", ".txt")


READER = AnnotationReader("a table", "pandas", _recognises, _read)
