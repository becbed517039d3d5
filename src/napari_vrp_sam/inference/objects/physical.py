"""Physical units of objects: sizes, positions in the world or on a map, lengths of tracks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.io.metadata import ImageMetadata
from napari_vrp_sam.io.units import lengths, unit_suffix

if TYPE_CHECKING:
    import pandas as pd

EARTH_RADIUS = 6378137.0
"""Semi-major axis of WGS 84, in metres."""
ECCENTRICITY = 0.00669437999014
"""Square of the eccentricity of WGS 84."""


def physical_columns(
    table: pd.DataFrame, seen: pd.DataFrame, metadata: ImageMetadata, *, tracked: bool
) -> pd.DataFrame:
    """Return the columns of a table of objects that have physical units.

    Parameters
    ----------
    table : DataFrame
        Objects by id, with `area`, `volume` if there are planes, and the centre in pixels.
    seen : DataFrame
        Return value of `measure_objects`.
    metadata : ImageMetadata
        Calibration, or place on a map, of the image.
    tracked : bool
        Whether objects keep their id over time; adds the lengths of paths and the speed.

    Returns
    -------
    DataFrame
        `area_um2`, `volume_um3`, centre `z_um`, `y_um`, `x_um`, `path_length_um`, `speed_um_per_s`
        for micrometers and seconds; only what is known. On a map, areas in square metres and the
        centre in coordinates of the CRS.
    """
    import pandas as pd

    columns = pd.DataFrame(index=table.index)
    sizes, unit = lengths(metadata)
    name = unit_suffix(unit)
    if metadata.transform is not None:
        a, b, c, d, e, f = metadata.transform
        columns_x, columns_y = table["x"] + 0.5, table["y"] + 0.5
        world_y = d * columns_x + e * columns_y + f
        if unit == "degree":
            columns["area_m2"] = table["area"] * abs(a * e - b * d) * _square_degree(world_y)
        elif unit:
            columns[f"area_{name}2"] = table["area"] * abs(a * e - b * d)
        suffix = f"_{name}" if unit else "_map"
        columns[f"y{suffix}"] = world_y
        columns[f"x{suffix}"] = a * columns_x + b * columns_y + c
    elif sizes:
        columns[f"area_{name}2"] = table["area"] * sizes["Y"] * sizes["X"]
        if "volume" in table and "Z" in sizes:
            voxel = sizes["Z"] * sizes["Y"] * sizes["X"]
            columns[f"volume_{name}3"] = table["volume"] * voxel
        for axis in [axis for axis in "ZYX" if axis in sizes and axis.lower() in table]:
            place = metadata.origin.get(axis, 0.0) + table[axis.lower()] * metadata.pixel_size[axis]
            columns[f"{axis.lower()}_{name}"] = place
    if tracked and "t" in seen:
        known = sizes if unit != "degree" else {}
        _add_tracks(columns, seen, known, name, metadata)
    return columns


def _add_tracks(
    columns: pd.DataFrame,
    seen: pd.DataFrame,
    sizes: dict[str, float],
    name: str,
    metadata: ImageMetadata,
) -> None:
    """Add the length of the path of each object, from centre to centre, and its mean speed."""
    places = [axis for axis in ("z", "y", "x") if axis in seen]
    sums = seen[places].mul(seen["area"], axis=0).groupby([seen["index"], seen["t"]]).sum()
    centres = sums.div(seen.groupby(["index", "t"])["area"].sum(), axis=0)
    moves = centres.groupby("index").diff()
    times = centres.index.to_frame()["t"].groupby("index")
    duration = (times.max() - times.min()).replace(0, np.nan)

    def add(scaled: pd.DataFrame, suffix: str) -> None:
        steps = (scaled**2).sum(axis=1, skipna=True) ** 0.5
        path = steps.groupby("index").sum()
        columns[f"path_length{suffix}"] = path
        interval = metadata.pixel_size.get("T")
        time_unit = metadata.units.get("T")
        if suffix and interval and time_unit:
            speed = path / (duration * interval)
            columns[f"speed{suffix}_per_{unit_suffix(time_unit)}"] = speed

    add(moves, "")
    if sizes and all(axis.upper() in sizes for axis in places):
        add(moves.mul({axis: sizes[axis.upper()] for axis in places}), f"_{name}")


def _square_degree(latitude: pd.Series) -> NDArray[np.float64]:
    """Return the area of a square degree on WGS 84 at a latitude, in square metres."""
    angle = np.radians(np.asarray(latitude, np.float64))
    bend = 1 - ECCENTRICITY * np.sin(angle) ** 2
    meridian = EARTH_RADIUS * (1 - ECCENTRICITY) / bend**1.5
    parallel = EARTH_RADIUS / np.sqrt(bend) * np.cos(angle)
    return np.asarray(meridian * parallel * np.radians(1) ** 2)
