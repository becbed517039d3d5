"""Published files, such as weights: the cache folder, downloads and their verification."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import platformdirs
import pooch

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.files import atomic, chosen_path, link_or_copy, lock, rename
from napari_vrp_sam.models.weights.transfer import WEB_PAGE, WRONG_FILE, NoConnectionError, receive

CACHE_VARIABLE = "VRP_SAM_CACHE"
MIRROR_VARIABLE = "VRP_SAM_MIRROR"
OFFLINE_VARIABLE = "VRP_SAM_OFFLINE"
NO_CONNECTION, FAILED = "there is no connection", "the download failed"
REFUSED = "the server refuses access"
MAX_UNKNOWN_SIZE = 256 * 2**20
"""Upper limit in bytes for published files whose size is not listed."""
MAX_QUICK_DIGEST = 512 * 2**20
"""Number of bytes whose digest takes a second or two."""

DownloadProgress = Callable[[int, int, str], object]
"""Progress callback: bytes received, bytes in total (0 if unknown), and name of the file."""


@dataclass(frozen=True)
class PublishedFile:
    """File that somebody published: weights of a model, or a sample image.

    Attributes
    ----------
    url : str
        Its last component is the name of the file in the cache.
    digest : str
        SHA-256, or its first digits if no more are published; or another digest that the publisher
        lists, after its name: "xxh128:..." or "md5:...".
    licence : str
        SPDX identifier, or the name of a licence.
    size : int, optional
        Size in bytes.
    title : str
        Name for users, such as "SAM ViT-B"; default: the name of the file.
    file_name : str
        Name of the file in the cache. Default: the last component of the URL.
    """

    url: str
    digest: str
    licence: str
    size: int | None = None
    title: str = ""
    file_name: str = ""

    @property
    def name(self) -> str:
        """Name of the file."""
        return self.file_name or self.url.rsplit("/", 1)[-1]

    @property
    def download_text(self) -> str:
        """Title and size of the download, as the beginning of a sentence."""
        amount = "" if self.size is None else f" ({self.size / 1e6:,.0f} MB)"
        return f"{self.title or self.name} has to be downloaded{amount}"

    @property
    def path(self) -> Path:
        """Path of the downloaded file in the cache folder."""
        return cache_folder() / self.name

    @property
    def partial(self) -> Path:
        """Path of the incomplete download."""
        # The digest in the name separates versions of a file that share their name.
        start = self.digest.rpartition(":")[2][:8]
        return self.path.with_name(f".{self.name}.{start}.part")

    @property
    def downloaded(self) -> bool:
        """True if the cache has a file of this name or size; `verify` checks the digest too."""
        if self.path.is_file():
            return True
        candidates = list(self._candidates())
        if self.size is not None or not candidates:
            return bool(candidates)
        # Without a known size only the digest identifies the file. A list of models does not wait
        # for the digests of gigabytes.
        with suppress(OSError):
            quick = sum(path.stat().st_size for path in candidates) <= MAX_QUICK_DIGEST
            return quick and any(self.matches(path) for path in candidates)
        return False

    def verify(self) -> bool:
        """Return whether the cache has a file with the published digest."""
        return self.find() is not None

    def find(self) -> Path | None:
        """Return the file with the published digest in the cache folder, whatever its name."""
        own = [self.path] if self.path.is_file() else []
        return next((path for path in (*own, *self._candidates()) if self.matches(path)), None)

    def matches(self, path: Path) -> bool:
        """Return whether a file has the published size and digest."""
        state = path.stat()
        if self.size not in (None, state.st_size):
            return False
        algorithm, _, expected = self.digest.rpartition(":")
        found = _cached_digest(
            os.fspath(path), algorithm or "sha256", state.st_size, state.st_mtime_ns
        )
        return found.startswith(expected)

    def fetch(self, *, progress: DownloadProgress | None = None) -> Path:
        """Return the path of the verified file, after downloading it if necessary.

        If several processes need the file, one downloads it and the others wait. An interrupted
        download is resumed by the next call.

        Parameters
        ----------
        progress : callable, optional
            See `DownloadProgress`.

        Raises
        ------
        InputError
            If the file cannot be downloaded or stored, differs from the published file, or is
            missing while `$VRP_SAM_OFFLINE` is set.
        """
        return _fetch(self, progress)

    def _candidates(self) -> Iterator[Path]:
        """Yield files in the cache that have other names and a possible size."""
        with suppress(OSError):
            for path in sorted(cache_folder().iterdir()):
                if path.name.startswith(".") or path == self.path or not path.is_file():
                    continue
                size = path.stat().st_size
                if self.size == size or (self.size is None and size <= MAX_UNKNOWN_SIZE):
                    yield path


def cache_folder() -> Path:
    """Return the folder of downloads: `$VRP_SAM_CACHE`, or the cache folder of the system."""
    default = platformdirs.user_cache_path("napari-vrp-sam", appauthor=False)
    return chosen_path(CACHE_VARIABLE, default)


def offline() -> bool:
    """Return whether `$VRP_SAM_OFFLINE` forbids downloads."""
    return os.environ.get(OFFLINE_VARIABLE, "") not in ("", "0")


def file_sha256(path: str | os.PathLike[str]) -> str:
    """Return the hexadecimal sha256 digest of a file."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@lru_cache(maxsize=64)
def _cached_digest(path: str, algorithm: str, _size: int, _modified: int) -> str:
    return str(pooch.file_hash(path, algorithm))


def fetch(published: PublishedFile, *, progress: DownloadProgress | None = None) -> Path:
    """Return the path of a published file after downloading it if necessary; see its `fetch`."""
    return published.fetch(progress=progress)


def _fetch(published: PublishedFile, progress: DownloadProgress | None) -> Path:
    path = published.path

    def report_other_process() -> None:
        if progress and published.partial.exists():
            progress(published.partial.stat().st_size, published.size or 0, published.name)

    try:
        found = published.find()
        if found is None and offline():
            raise InputError(
                f"{published.download_text}, but offline mode is on.\n"
                f"{published.name} is not in {path.parent}, and offline mode ({OFFLINE_VARIABLE}) "
                f"forbids downloads: leave offline mode, or put the file from {published.url} into "
                "that folder, under any name."
            )
        if found is None:
            path.parent.mkdir(parents=True, exist_ok=True)
            with lock(path.with_name(f".{path.name}.lock"), while_waiting=report_other_process):
                # Another process may have downloaded the file in the meantime.
                found = published.find() or _download(published, progress)
        return _with_readable_suffix(found, published)
    except OSError as error:
        raise InputError(f"{path} cannot be read or written: {error.strerror or error}.") from error


def copy_to_cache(file: Path, published: PublishedFile) -> Path:
    """Copy a published file into the cache and return its path there.

    Raises
    ------
    InputError
        If the file cannot be copied.
    """
    with atomic(published.path) as temporary:
        shutil.copyfile(file, temporary)
    return published.path


def text_progress(report: Callable[[str], None]) -> DownloadProgress:
    """Return a progress callback that reports each per cent as a line of text."""
    last = -1

    def report_step(done: int, total: int, name: str) -> None:
        nonlocal last
        megabytes = done // 1_000_000
        step = 100 * done // total if total else megabytes
        if step != last:
            last = step
            amount = f"{step} % of {total / 1e6:,.0f} MB" if total else f"{megabytes:,} MB"
            report(f"Downloading {name}: {amount}")

    return report_step


def _with_readable_suffix(found: Path, published: PublishedFile) -> Path:
    """Give a file its published name too, unless its suffix already shows the format."""
    path = published.path
    if found.suffix == path.suffix:
        return found
    try:
        with atomic(path) as temporary:
            temporary.unlink()  # a link needs a free name
            link_or_copy(found, temporary)
    except InputError as error:
        reason = str(error).removesuffix(".")
        raise InputError(f"{reason}: rename {found} to {published.name}.") from error
    return path


def _download(published: PublishedFile, progress: DownloadProgress | None) -> Path:
    """Download from the mirror, if there is one, or else from the publisher."""
    path, partial = published.path, published.partial

    def report(done: int, total: int | None) -> None:
        if progress:
            progress(done, published.size or total or 0, published.name)

    problems: list[str] = []
    reasons = {NO_CONNECTION}
    for url in _sources(published):
        # A partial file may belong to a different file: if so, try once more without it.
        for _ in range(2 if partial.exists() else 1):
            try:
                receive(url, partial, report, size=published.size)
            except OSError as error:
                problems.append(f"{url}: {error}")
                reasons.add(_reason(error))
                break
            if partial.exists() and published.matches(partial):
                rename(partial, path)
                return path
            partial.unlink(missing_ok=True)
        else:
            problems.append(f"{url}: {WRONG_FILE}, its digest differs")
            reasons.add(FAILED)
    reason = max(reasons, key=(NO_CONNECTION, FAILED, REFUSED, WEB_PAGE).index)
    raise InputError(
        f"{published.download_text}, but {reason}.\n"
        f"Cannot download {published.name} ({'; '.join(problems)}): check the connection and the "
        "free disk space and try again, which resumes the download; or put the file at "
        f"{path} yourself, under this or any other name."
    )


def _reason(error: OSError) -> str:
    """Return the reason why a source did not send the file, as the end of a sentence."""
    if isinstance(error, NoConnectionError):
        return NO_CONNECTION
    if WEB_PAGE in str(error):
        return WEB_PAGE
    answer = getattr(error, "response", None)
    return REFUSED if getattr(answer, "status_code", 0) in (401, 403) else FAILED


def _sources(published: PublishedFile) -> list[str]:
    mirror = os.environ.get(MIRROR_VARIABLE, "").strip()
    return [*([f"{mirror.rstrip('/')}/{published.name}"] if mirror else []), published.url]
