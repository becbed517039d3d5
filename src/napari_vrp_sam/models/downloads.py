"""Published weights files: where they come from, and the folder that keeps them."""

from __future__ import annotations

import contextlib
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs
import pooch

from napari_vrp_sam.errors import InputError

CACHE_VARIABLE = "VRP_SAM_CACHE"
TIMEOUT = 30.0
"""Seconds without an answer after which a download fails, so that no progress bar spins forever."""


@dataclass(frozen=True)
class WeightsFile:
    """A weights file that somebody published.

    Attributes
    ----------
    url : str
        Its last part is the file's name in the cache.
    size : int, optional
        In bytes.
    sha256 : str
        Digest, or the first digits of it where the publisher tells no more.
    licence : str
        SPDX identifier.
    """

    url: str
    sha256: str
    licence: str
    size: int | None = None

    @property
    def path(self) -> Path:
        """Where the file lies once it was downloaded."""
        return cache_folder() / self.url.rsplit("/", 1)[-1]

    @property
    def downloaded(self) -> bool:
        """Whether a file lies there; `verify` says whether it is the right one."""
        return self.path.is_file()

    def verify(self) -> bool:
        """Whether the downloaded file has the published digest."""
        return self.downloaded and file_sha256(self.path).startswith(self.sha256)


def cache_folder() -> Path:
    """Folder of downloaded weights: `$VRP_SAM_CACHE`, or the system's folder for caches."""
    chosen = os.environ.get(CACHE_VARIABLE)
    return (
        Path(chosen) if chosen else platformdirs.user_cache_path("napari-vrp-sam", appauthor=False)
    )


def file_sha256(path: str | os.PathLike[str]) -> str:
    """Hexadecimal sha256 digest of a file."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def fetch(weights: WeightsFile, *, progress: bool = False) -> Path:
    """Path of a weights file, downloaded unless it is there; its digest is always checked.

    Parameters
    ----------
    weights : WeightsFile
    progress : bool, default False
        Show a progress bar on standard error.

    Raises
    ------
    InputError
        If it cannot be downloaded or stored, or is not the file that was published.
    """
    path = weights.path
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if weights.verify():
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        download = pooch.HTTPDownloader(timeout=TIMEOUT, progressbar=progress, chunk_size=1 << 20)
        download(weights.url, temporary, None)
        if not file_sha256(temporary).startswith(weights.sha256):
            raise InputError(
                f"{weights.url} did not send the file that was published (its sha256 differs): "
                f"try again, or put the right file at {path}."
            )
        temporary.replace(path)
    except OSError as error:
        raise InputError(
            f"Cannot download {weights.url} ({error}): check the connection and the free space, "
            f"or put the file at {path} yourself."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
    return path
