"""Published weights files: where they come from, and the folder that keeps them."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import platformdirs
from filelock import FileLock, Timeout

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.models.weights.transfer import NOT_PUBLISHED, receive

CACHE_VARIABLE = "VRP_SAM_CACHE"
MIRROR_VARIABLE = "VRP_SAM_MIRROR"
OFFLINE_VARIABLE = "VRP_SAM_OFFLINE"
LARGEST_UNSIZED = 256 * 2**20
"""Bytes; of the published files whose size we do not know, none is larger."""
QUICKLY_READ = 512 * 2**20
"""Bytes whose digest takes a second or two."""
READABLE = (".safetensors", ".pth", ".pt")
"""Ends of names by which weights files are read."""
PATIENCE = 0.5
"""Seconds between two looks at how far another process is."""

DownloadProgress = Callable[[str, int, int | None], None]
"""Told a file's name, how many of its bytes are there, and of how many."""


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
    def name(self) -> str:
        """The file's own."""
        return self.url.rsplit("/", 1)[-1]

    @property
    def path(self) -> Path:
        """Where the file lies once it was downloaded."""
        return cache_folder() / self.name

    @property
    def part(self) -> Path:
        """What has arrived of it until now."""
        # Named by the digest too: a part of an older file of the same name would spoil this one.
        return self.path.with_name(f".{self.name}.{self.sha256[:8]}.part")

    @property
    def downloaded(self) -> bool:
        """Whether a file lies there, or one of its size; `verify` says whether it is the one."""
        if self.path.is_file():
            return True
        others = list(self._others())
        if self.size is not None or not others:
            return bool(others)
        # Of unknown size, the digest alone tells; lists of models do not wait for gigabytes of it.
        with suppress(OSError):
            few = sum(path.stat().st_size for path in others) <= QUICKLY_READ
            return few and any(self.describes(path) for path in others)
        return False

    def verify(self) -> bool:
        """Whether a file with the published digest is there."""
        return self.find() is not None

    def find(self) -> Path | None:
        """The file in the cache folder, by whatever name somebody has put it there."""
        own = [self.path] if self.path.is_file() else []
        return next((path for path in (*own, *self._others()) if self.describes(path)), None)

    def describes(self, path: Path) -> bool:
        """Whether a file has the published digest."""
        state = path.stat()
        if self.size not in (None, state.st_size):
            return False
        # Gigabytes are read once, as long as size and time stay.
        digest = _sha256_of(os.fspath(path), state.st_size, state.st_mtime_ns)
        return digest.startswith(self.sha256)

    def _others(self) -> Iterator[Path]:
        """What could be this file by its size."""
        with suppress(OSError):
            for path in sorted(cache_folder().iterdir()):
                hidden = path.name.startswith(".") or path == self.path
                if hidden or not path.is_file():
                    continue
                size = path.stat().st_size
                if self.size == size or (self.size is None and size <= LARGEST_UNSIZED):
                    yield path


def cache_folder() -> Path:
    """Folder of downloaded weights: `$VRP_SAM_CACHE`, or the system's folder for caches."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    return platformdirs.user_cache_path("napari-vrp-sam", appauthor=False)


def offline() -> bool:
    """Whether `$VRP_SAM_OFFLINE` forbids downloads."""
    return os.environ.get(OFFLINE_VARIABLE, "") not in ("", "0")


def file_sha256(path: str | os.PathLike[str]) -> str:
    """Hexadecimal sha256 digest of a file."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@lru_cache(maxsize=64)
def _sha256_of(path: str, _size: int, _changed: int) -> str:
    return file_sha256(path)


def fetch(weights: WeightsFile, *, progress: DownloadProgress | None = None) -> Path:
    """Path of a weights file, downloaded unless it is there; its digest is always checked.

    Of several processes one downloads, the others wait for it. What came before a break stays, and
    the next try goes on there.

    Parameters
    ----------
    weights : WeightsFile
    progress : callable, optional

    Raises
    ------
    InputError
        If it cannot be downloaded or stored, is not the file that was published, or is not there
        and `$VRP_SAM_OFFLINE` is set.
    """
    path = weights.path
    try:
        found = weights.find()
        if found is not None:
            return _under_its_name(found, weights)
        if offline():
            raise InputError(
                f"{weights.name} is not in {path.parent}, and {OFFLINE_VARIABLE} or --offline "
                f"forbids downloads: allow them, or put the file from {weights.url} into that "
                "folder, under any name."
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        with _sole(weights, progress):
            found = weights.find()  # another process may just have brought it
            return _under_its_name(found, weights) if found else _download(weights, progress)
    except OSError as error:
        raise InputError(f"{path} cannot be read or written: {error.strerror or error}.") from error


def keep(file: Path, weights: WeightsFile) -> Path:
    """Copy a weights file that somebody brought into the cache.

    Raises
    ------
    InputError
        If it cannot be copied.
    """
    path = weights.path
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, temporary)
        temporary.replace(path)
    except OSError as error:
        raise InputError(f"Cannot write {path}: {error.strerror or error}.") from error
    finally:
        with suppress(OSError):
            temporary.unlink()
    return path


def in_words(report: Callable[[str], None]) -> DownloadProgress:
    """Progress for whoever shows a line of text; told at every per cent."""
    last = -1

    def tell(name: str, done: int, total: int | None) -> None:
        nonlocal last
        megabytes = done // 1_000_000
        step = 100 * done // total if total else megabytes
        if step != last:
            last = step
            of = f"{step} % of {total / 1e6:,.0f} MB" if total else f"{megabytes:,} MB"
            report(f"Downloading {name}: {of}")

    return tell


def _under_its_name(found: Path, weights: WeightsFile) -> Path:
    """Give a brought file its published name too: the suffix says how to read it."""
    path = weights.path
    if found == path:
        return path
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.hardlink_to(found)  # takes no room
        temporary.replace(path)
    except OSError:  # others' folder, or one without links
        if found.suffix in READABLE:
            return found
        try:
            keep(found, weights)
        except InputError as error:
            reason = str(error).removesuffix(".")
            raise InputError(f"{reason}: rename {found} to {weights.name}.") from error
    return path


@contextmanager
def _sole(weights: WeightsFile, progress: DownloadProgress | None) -> Iterator[None]:
    """Wait until no other process downloads the file, and tell how far that one is."""
    lock, part = FileLock(weights.path.with_name(f".{weights.name}.lock")), weights.part
    while not lock.is_locked:
        with suppress(Timeout):
            lock.acquire(timeout=PATIENCE)
        if progress and part.exists():
            progress(weights.name, part.stat().st_size, weights.size)
    try:
        yield
    finally:
        lock.release()


def _download(weights: WeightsFile, progress: DownloadProgress | None) -> Path:
    """From the mirror if there is one, else from the publisher."""
    path, part = weights.path, weights.part

    def tell(done: int, total: int | None) -> None:
        if progress:
            progress(weights.name, done, weights.size or total)

    problems = []
    for url in _sources(weights):
        # What was there already may have been of another file: that deserves a try without it.
        for _ in range(2 if part.exists() else 1):
            try:
                receive(url, part, tell, size=weights.size)
            except OSError as error:
                problems.append(f"{url}: {error}")
                break
            if part.exists() and file_sha256(part).startswith(weights.sha256):
                part.replace(path)
                return path
            part.unlink(missing_ok=True)
        else:
            problems.append(f"{url}: {NOT_PUBLISHED}, its sha256 differs")
    raise InputError(
        f"Cannot download {weights.name} ({'; '.join(problems)}): check the connection and the "
        "free space and try again, which goes on where this try ended; or put the file at "
        f"{path} yourself, under this or any other name."
    )


def _sources(weights: WeightsFile) -> list[str]:
    """Addresses in the order to try them."""
    mirror = os.environ.get(MIRROR_VARIABLE, "").strip()
    return [*([f"{mirror.rstrip('/')}/{weights.name}"] if mirror else []), weights.url]
