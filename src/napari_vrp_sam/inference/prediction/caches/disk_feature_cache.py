"""Features on disk, which later runs and other processes read instead of encoding again.

Each frame is one file: a small Zarr store (format 3) in a zip archive, in half precision (bfloat16)
and compressed. Files are written atomically, and the least recently used ones are removed first.
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zarr
from torch import Tensor
from zarr.codecs import BloscCodec
from zarr.storage import ZipStore

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.files import atomic
from napari_vrp_sam.models.base import FrameFeatures
from napari_vrp_sam.models.weights.downloads import cache_folder

LIMIT_VARIABLE = "VRP_SAM_FEATURES"
"""Gigabytes of features to keep; 0 keeps none."""

DEFAULT_GIGABYTES = 20.0

SHARE_OF_DISK = 0.25
"""Largest share of the free disk space to use, if the user sets no limit."""

SUFFIX = ".zarr.zip"

SLACK = 0.05
"""Share of the limit that a process may add before it checks the folder again."""

MAX_UNCHECKED = 256_000_000
"""Bytes that a process may add before that; each of many processes may add as much."""

MIN_UNCHECKED = 0.001
"""Share of the limit below which checking all files is not worthwhile."""


class DiskFeatureCache:
    """Features of one model in a folder that processes and models share.

    As in main memory, features that the current run has used are not evicted; otherwise a stack
    larger than the limit would find nothing in its second run. Files are stamped by the clock of
    this process: that of the file system is coarser, and another machine's on a network folder.

    Parameters
    ----------
    folder : Path
    model : str
        Digest of everything that features depend on, except frame and normalisation.
    limit : int
        Largest total size of the files in the folder, in bytes.
    """

    def __init__(self, folder: Path, model: str, limit: int) -> None:
        self._folder = folder
        self._model = model
        self._limit = limit
        self._began = time.time_ns()
        self._added = limit  # unknown: look at the folder first
        self._full = False

    def start_round(self) -> None:
        """Start a run; features that it does not use may be evicted."""
        self._began = time.time_ns()
        self._full = False

    def get(self, key: bytes) -> FrameFeatures | None:
        """Return the features stored under a key, on the CPU."""
        path = self._path(key)
        if not path.exists():
            return None
        try:
            if not zipfile.is_zipfile(path):
                raise zipfile.BadZipFile
            with ZipStore(path, mode="r") as store:
                features = _read(zarr.open_group(store, mode="r"))
        except Exception:  # codecs raise many kinds of error for a damaged file
            with contextlib.suppress(OSError):
                path.unlink()
            return None
        with contextlib.suppress(OSError):  # owned by another user, or removed meanwhile
            _stamp(path)
        return features

    def put(self, key: bytes, features: FrameFeatures) -> FrameFeatures:
        """Store features, if there is room.

        Returns
        -------
        FrameFeatures
            As `get` will return them, so that a first and a second run give the same labels.
        """
        rounded = _rounded(features)
        if not self._full:
            with contextlib.suppress(InputError):  # disk full, no permission
                self._write(self._path(key), rounded)
                unchecked = max(MAX_UNCHECKED, MIN_UNCHECKED * self._limit)
                if self._added >= min(SLACK * self._limit, unchecked):
                    self._trim()
        return rounded

    def _write(self, path: Path, features: FrameFeatures) -> None:
        with atomic(path) as temporary:
            with ZipStore(temporary, mode="w") as store:
                _fill(store, features)
            self._added += temporary.stat().st_size
            _stamp(temporary)

    def _trim(self) -> None:
        """Remove the least recently used files until there is room again."""
        files = []
        for path in self._folder.glob("*/*.zip"):
            with contextlib.suppress(OSError):  # another process has removed it
                state = path.stat()
                files.append((state.st_mtime_ns, state.st_size, path))
        self._added = 0
        total = sum(size for _, size, _ in files)
        old = sorted(file for file in files if file[0] < self._began)
        new = sorted((file for file in files if file[0] >= self._began), reverse=True)
        self._full = sum(size for _, size, _ in new) > (1 - 2 * SLACK) * self._limit
        for excess, candidates in ((2 * SLACK, old), (0.0, new)):
            for _, size, path in candidates:
                if total <= (1 - excess) * self._limit:
                    break
                with contextlib.suppress(OSError):
                    path.unlink()
                    total -= size

    def _path(self, key: bytes) -> Path:
        return self._folder / self._model / (key.hex() + SUFFIX)


def uses_disk_cache(requested: bool | None, *, resizing: bool, device: str) -> bool:  # noqa: FBT001
    """Return whether features of a model are kept on disk, which rounds them.

    Parameters
    ----------
    requested : bool, optional
        See `SegmentationJob.cache`.
    resizing : bool
        Whether the model resizes frames; see `Model.input_side`.
    device : str
        Type of device, such as "cuda".

    Raises
    ------
    InputError
        If the limit that the user set is not a number.
    """
    # A GPU encodes faster than a disk reads, and so does `lite` on a CPU.
    slow = resizing and device != "cuda"
    return (slow if requested is None else requested) and _gigabytes() > 0


def disk_cache(model: str) -> DiskFeatureCache | None:
    """Return the cache of a model in the user's folder; None if the limit is 0.

    Parameters
    ----------
    model : str
        See `DiskFeatureCache`.

    Raises
    ------
    InputError
        If the limit that the user set is not a number.
    """
    folder = cache_folder() / "features"
    limit = _gigabytes() * 1e9
    if not os.environ.get(LIMIT_VARIABLE):
        existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
        limit = min(limit, SHARE_OF_DISK * shutil.disk_usage(existing).free)
    return DiskFeatureCache(folder, model, int(limit)) if limit > 0 else None


def _gigabytes() -> float:
    given = os.environ.get(LIMIT_VARIABLE)
    try:
        allowed = float(given) if given else DEFAULT_GIGABYTES
    except ValueError:
        allowed = math.nan
    if not math.isfinite(allowed):
        raise InputError(
            f"{LIMIT_VARIABLE}={given} is not a number: set it to a size in gigabytes, or to "
            "0 to disable the cache."
        )
    return allowed


def _stamp(path: Path) -> None:
    now = time.time_ns()
    os.utime(path, ns=(now, now))


def _rounded(features: FrameFeatures) -> FrameFeatures:
    def half(values: Tensor) -> Tensor:
        return values.to(torch.bfloat16).to(values.dtype) if values.is_floating_point() else values

    return FrameFeatures(
        features.size, half(features.embedding), tuple(map(half, features.semantic))
    )


def _fill(store: Any, features: FrameFeatures) -> None:
    maps = (features.embedding, *features.semantic)
    types = [str(values.dtype).removeprefix("torch.") for values in maps]
    group = zarr.create_group(store, attributes={"size": features.size, "types": types})
    # Neighbouring values share sign and exponent, so shuffled bytes compress well.
    compressor = BloscCodec(cname="zstd", clevel=1, shuffle="shuffle", typesize=2)
    for number, values in enumerate(maps):
        # Zarr has no bfloat16, so its bits are stored as integers.
        bits = values.detach().cpu().to(torch.bfloat16).contiguous().view(torch.int16).numpy()
        group.create_array(
            str(number), data=bits.view(np.uint16), chunks=bits.shape, compressors=compressor
        )


def _read(group: Any) -> FrameFeatures:
    height, width = group.attrs["size"]
    maps = [
        torch.from_numpy(np.asarray(group[str(number)][...]).view(np.int16))
        .view(torch.bfloat16)
        .to(getattr(torch, name))
        for number, name in enumerate(group.attrs["types"])
    ]
    return FrameFeatures((height, width), maps[0], tuple(maps[1:]))
