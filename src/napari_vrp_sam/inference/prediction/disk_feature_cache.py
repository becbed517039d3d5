"""Features on disk: another run, another process or another day reads instead of encoding.

Each frame is a file of its own, a small Zarr store (format 3) in a zip archive, in half precision
(bfloat16) and compressed. Files appear whole, or not at all; what was used longest ago goes first.
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
"""Of what is free there; no more than this is taken unless the user says how much."""

SUFFIX = ".zarr.zip"

SLACK = 0.05
"""Of the limit: what a process adds at most before it looks at the folder again."""

MOST_UNSEEN = 256_000_000
"""Bytes that it adds at most before that: each of many processes may add so many at a time."""

LEAST_UNSEEN = 0.001
"""Of the limit: less than that is not worth a look at so many files."""


class DiskFeatureCache:
    """Features of one model in a folder that processes and models share.

    As in main memory, what the present run has used stays: a stack larger than the limit would
    find nothing the second time otherwise. Files bear the time of this process's clock: the file
    system's own is coarser, and another machine's where the folder is on a network.

    Parameters
    ----------
    folder : Path
    model : str
        Whatever features depend on besides frame and normalisation, as a digest.
    limit : int
        Bytes that all files of the folder may take together.
    """

    def __init__(self, folder: Path, model: str, limit: int) -> None:
        self._folder = folder
        self._model = model
        self._limit = limit
        self._began = time.time_ns()
        self._added = limit  # unknown: look at the folder first
        self._full = False

    def start_round(self) -> None:
        """A run begins: what it does not use may go."""
        self._began = time.time_ns()
        self._full = False

    def get(self, key: bytes) -> FrameFeatures | None:
        """Features that were put under a key, on the CPU."""
        path = self._path(key)
        if not path.exists():
            return None
        try:
            if not zipfile.is_zipfile(path):
                raise zipfile.BadZipFile
            with ZipStore(path, mode="r") as store:
                features = _read(zarr.open_group(store, mode="r"))
        except Exception:  # codecs make anything of a damaged file
            with contextlib.suppress(OSError):
                path.unlink()
            return None
        with contextlib.suppress(OSError):  # another user's, or removed by now
            _stamp(path)
        return features

    def put(self, key: bytes, features: FrameFeatures) -> FrameFeatures:
        """Keep features, if there is room.

        Returns
        -------
        FrameFeatures
            As `get` will give them: a first run is to see what a second one sees.
        """
        rounded = _rounded(features)
        if not self._full:
            with contextlib.suppress(InputError):  # disk full, no permission
                self._write(self._path(key), rounded)
                unseen = max(MOST_UNSEEN, LEAST_UNSEEN * self._limit)
                if self._added >= min(SLACK * self._limit, unseen):
                    self._trim()
        return rounded

    def _write(self, path: Path, features: FrameFeatures) -> None:
        with atomic(path) as temporary:
            with ZipStore(temporary, mode="w") as store:
                _fill(store, features)
            self._added += temporary.stat().st_size
            _stamp(temporary)

    def _trim(self) -> None:
        """Remove what was used longest ago until there is room again."""
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


def is_wanted(wish: bool | None, *, resizing: bool, device: str) -> bool:  # noqa: FBT001
    """Whether features of a model are kept on disk, and rounded for that.

    Parameters
    ----------
    wish : bool, optional
        See `Job.cache`.
    resizing : bool
        Whether the model is; see `Model.input_side`.
    device : str
        The kind of device that it runs on.

    Raises
    ------
    InputError
        If the limit that the user has set is no number.
    """
    # A GPU encodes sooner than a disk reads, and `lite` does on any processor.
    slow = resizing and device != "cuda"
    return (slow if wish is None else wish) and _gigabytes() > 0


def disk_cache(model: str) -> DiskFeatureCache | None:
    """The cache of a model in the user's folder; None where the user wants none.

    Parameters
    ----------
    model : str
        See `DiskFeatureCache`.

    Raises
    ------
    InputError
        If the limit that the user has set is no number.
    """
    folder = cache_folder() / "features"
    limit = _gigabytes() * 1e9
    if not os.environ.get(LIMIT_VARIABLE):
        existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
        limit = min(limit, SHARE_OF_DISK * shutil.disk_usage(existing).free)
    return DiskFeatureCache(folder, model, int(limit)) if limit > 0 else None


def _gigabytes() -> float:
    """What the user allows."""
    given = os.environ.get(LIMIT_VARIABLE)
    try:
        allowed = float(given) if given else DEFAULT_GIGABYTES
    except ValueError:
        allowed = math.nan
    if not math.isfinite(allowed):
        raise InputError(
            f"{LIMIT_VARIABLE}={given} is no number: give gigabytes, 0 to keep no features."
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
    # Neighbouring values share sign and exponent: those bytes side by side compress well.
    compressor = BloscCodec(cname="zstd", clevel=1, shuffle="shuffle", typesize=2)
    for number, values in enumerate(maps):
        # Zarr has no bfloat16: its bits travel as integers.
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
