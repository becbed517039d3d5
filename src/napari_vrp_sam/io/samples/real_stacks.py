"""Real, openly licensed stacks to download, from the sample data of scikit-image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.images.opening import open_image
from napari_vrp_sam.io.metadata import StoredImage
from napari_vrp_sam.models.weights.downloads import DownloadProgress, PublishedFile

# The commit in the address and the digests are those of scikit-image's own registry.
DATA = "https://gitlab.com/scikit-image/data/-/raw/2cdc5ce89b334d28f06a58c9f0ca21aa6992a5ba"


@dataclass(frozen=True)
class RealStack:
    """Stack that can be downloaded.

    Attributes
    ----------
    name, description : str
    axes : str
        Axes of the stack, for files that do not store them.
    shape : tuple of int
    origin : str
        Who recorded it.
    file : PublishedFile
    pixel_size : mapping of str to float
        In micrometers, by axis letter; empty if it is not published.
    """

    name: str
    description: str
    axes: str
    shape: tuple[int, ...]
    origin: str
    file: PublishedFile
    pixel_size: Mapping[str, float] = field(default_factory=dict)

    def open(self, *, progress: DownloadProgress | None = None) -> StoredImage:
        """Download and open the file, and add the axes and pixel sizes that it does not store."""
        stored = open_image(self.file.fetch(progress=progress))
        if stored.axes is None or stored.axes_guessed:
            stored = replace(stored, axes=self.axes, axes_guessed=False)
        if not stored.metadata.pixel_size and self.pixel_size:
            units = dict.fromkeys(self.pixel_size, "micrometer")
            metadata = replace(stored.metadata, pixel_size=self.pixel_size, units=units)
            stored = replace(stored, metadata=metadata)
        return stored


def _file(name: str, digest: str, sample: str) -> PublishedFile:
    return PublishedFile(f"{DATA}/{name}", digest, "CC0-1.0", title=f"The sample {sample}")


REAL_STACKS: tuple[RealStack, ...] = (
    RealStack(
        "cells3d",
        "Cells in 3-D, fluorescence: membranes (channel 0) and nuclei (channel 1).",
        "ZCYX",
        (60, 2, 256, 256),
        "Allen Institute for Cell Science",
        _file(
            "cells3d.tif",
            "afc7c7d80d38bfde09788b4064ac1e64ec14e88454ab785ebdc8dbba5ca3b222",
            "cells3d",
        ),
        {"Z": 0.29, "Y": 0.26, "X": 0.26},
    ),
    RealStack(
        "kidney",
        "Mouse kidney in 3-D, confocal fluorescence in three channels: tubules and nuclei.",
        "ZCYX",
        (16, 3, 512, 512),
        "Genevieve Buckley, Monash Micro Imaging",
        _file(
            "kidney-tissue-fluorescence.tif",
            "80c0799bc58b08cf6eaa53ecd202305eb42fd7bc73746cb6c5064dbeae7e8476",
            "kidney",
        ),
        {"Z": 1.25, "Y": 1.24, "X": 1.24},
    ),
    RealStack(
        "solidification",
        "Nickel alloy that solidifies, X-ray time series: the liquid region.",
        "TYX",
        (11, 384, 512),
        "C. Gus Becker and others, Colorado School of Mines",
        _file(
            "nickel_solidification.tif",
            "50ef9a52c621b7c0c506ad1fe1b8ee8a158a4d7c8e50ddfce1e273a422dca3f9",
            "solidification",
        ),
    ),
)
"""All stacks that can be downloaded."""


def real_stack(name: str) -> RealStack:
    """Return the description of a stack that can be downloaded.

    Raises
    ------
    InputError
        If there is none of this name.
    """
    for stack in REAL_STACKS:
        if stack.name == name:
            return stack
    names = ", ".join(stack.name for stack in REAL_STACKS)
    raise InputError(f"There is no sample '{name}': choose one of {names}.")


def download_sample(name: str, *, progress: DownloadProgress | None = None) -> StoredImage:
    """Download and open a real stack.

    The stacks are openly licensed, and have no ground truth. The file is downloaded once and kept
    in the cache folder, which `$VRP_SAM_CACHE` sets.

    Parameters
    ----------
    name : {"cells3d", "kidney", "solidification"}
    progress : callable, optional
        Called with the bytes received, the bytes in total (0 if unknown), and the file name.

    Returns
    -------
    StoredImage
        With `data`, `axes` and `metadata`.

    Raises
    ------
    InputError
        If there is no such sample, or it cannot be downloaded.

    Examples
    --------
    >>> stored = download_sample("cells3d")  # doctest: +SKIP
    >>> stored.axes, stored.data.shape  # doctest: +SKIP
    ('ZCYX', (60, 2, 256, 256))
    """
    return real_stack(name).open(progress=progress)
