"""The table of objects: position, size, intensity and confidence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.objects.linking import LinkedObjects
from napari_vrp_sam.inference.objects.physical import physical_columns
from napari_vrp_sam.io.metadata import ImageMetadata

if TYPE_CHECKING:
    import pandas as pd

INTENSITY = "mean_intensity"


def measure_objects(
    labels: NDArray[np.integer],
    axes: str,
    *,
    image: Frames | None = None,
    confidence: Mapping[int, float] | None = None,
    step: Callable[[], object] = lambda: None,
) -> pd.DataFrame:
    """Measure each object on each frame, with `skimage.measure.regionprops_table`.

    Parameters
    ----------
    labels : ndarray of integers, shape of the leading axes + (Y, X)
        Id of each pixel's object.
    axes : str
        One letter of T, Z, Y, X for each axis of the labels.
    image : Frames, optional
        Frames of the same size, whose intensities are measured; read one at a time.
    confidence : mapping of int to float, optional
        Of frames, by index.
    step : callable
        Called before each frame.

    Returns
    -------
    DataFrame
        One row for each object and frame: `index` (the id), `t` and `z` where there are such axes,
        `area` in pixels, centre `y` and `x`, and, where known, `mean_intensity` of each channel
        and `confidence` of the frame.
    """
    import pandas as pd

    measured = []
    for number, position in enumerate(np.ndindex(labels.shape[:-2])):
        step()
        row = pd.DataFrame(_measured(labels[position], image[number] if image else None))
        lead = zip(axes[:-2].lower(), position, strict=True)
        measured.append(row.assign(**dict(lead)))
        if confidence:
            measured[-1]["confidence"] = confidence.get(number, np.nan)
    return pd.concat(measured, ignore_index=True)


def object_table(
    seen: pd.DataFrame,
    known: LinkedObjects,
    *,
    metadata: ImageMetadata | None = None,
    tracked: bool = False,
    divisions: bool = False,
) -> pd.DataFrame:
    """Summarise the measurements of each object.

    Parameters
    ----------
    seen : DataFrame
        Return value of `measure_objects`.
    known : LinkedObjects
        Class and parent of each id.
    metadata : ImageMetadata, optional
        Calibration of the image, for physical units.
    tracked : bool
        Whether objects keep their id over time.
    divisions : bool
        Whether objects may divide: the table then has the column `parent`, even if none does.

    Returns
    -------
    DataFrame
        One row an object; `Objects` says what the columns are.
    """
    import pandas as pd

    by_id = seen.groupby("index")
    voxels = by_id["area"].sum()
    table = pd.DataFrame({"index": voxels.index}, index=voxels.index)
    table["class"] = known.classes[table["index"]]
    for axis in [axis for axis in ("t", "z") if axis in seen]:
        table[f"first_{axis}"] = by_id[axis].min()
        table[f"last_{axis}"] = by_id[axis].max()
    table["frames"] = by_id.size()
    table["area"] = voxels / table["frames"]
    if "z" in seen:
        table["volume"] = voxels / (by_id["t"].nunique() if "t" in seen else 1)
    # The mean over all pixels of an object: frames count by its area on them, as far as they know.
    names = [axis for axis in ("z", "y", "x") if axis in seen]
    names += [name for name in seen if name.startswith(INTENSITY)]
    weighed = seen[names].mul(seen["area"], axis=0).groupby(seen["index"]).sum()
    known_area = seen[names].notna().mul(seen["area"], axis=0).groupby(seen["index"]).sum()
    table[names] = weighed / known_area
    physical = physical_columns(table, seen, metadata or ImageMetadata(), tracked=tracked)
    table[list(physical)] = physical
    if "confidence" in seen:
        table["confidence"] = by_id["confidence"].mean()
    if divisions or known.parents.any():
        table["parent"] = known.parents[table["index"]]
    return table.reset_index(drop=True)


def _measured(labels: NDArray[np.integer], image: NDArray[Any] | None) -> dict[str, Any]:
    """Measure the objects of one frame."""
    from skimage.measure import regionprops_table

    names = {"label": "index", "area": "area", "centroid-0": "y", "centroid-1": "x"}
    properties = ["label", "area", "centroid"]
    if image is not None:
        properties.append("intensity_mean")
        channels = image.shape[-1]
        image = image[..., 0] if channels == 1 else image
        names["intensity_mean"] = INTENSITY
        names |= {f"intensity_mean-{c}": f"{INTENSITY}_{c}" for c in range(channels)}
    measured = regionprops_table(labels, image, properties=properties)
    if image is not None and not np.isfinite(image).all():
        # Registered or masked images have pixels without a value: the mean of the others.
        there = np.isfinite(image)
        sums = regionprops_table(labels, np.where(there, image, 0), properties=properties)
        shares = regionprops_table(labels, there.astype(np.float32), properties=properties)
        for name in [name for name in measured if name.startswith("intensity_mean")]:
            known = np.where(shares[name] > 0, shares[name], np.nan)
            measured[name] = sums[name] / known
    return {names[name]: column for name, column in measured.items()}
