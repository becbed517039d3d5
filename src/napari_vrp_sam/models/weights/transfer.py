"""One file over HTTP, taken up again where an earlier try broke off."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import pooch

if TYPE_CHECKING:
    from requests import Response

Tell = Callable[[int, int | None], None]
"""Told how many bytes are there, and of how many."""

TIMEOUT = 30.0
"""Seconds without an answer after which a try fails, so that no progress bar spins forever."""
CHUNK = 1 << 16
"""Bytes that are written at once; so many at most are lost where a connection breaks off."""
TRIES = 5
"""Of a connection that breaks off, as long as each brings something."""


NOT_PUBLISHED = "it does not send the file that was published"


def receive(url: str, part: Path, tell: Tell | None = None, *, size: int | None = None) -> None:
    """Complete a partial file; what has come stays there, whatever happens.

    Proxies are those of the environment (`HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY`).

    Parameters
    ----------
    url : str
    part : Path
        Bytes that are there already are not asked for again, if the server knows how (`Range`).
    tell : callable, optional
    size : int, optional
        Of the whole file in bytes, where it is known. A server that has another one, or the page of
        a network that wants a password first, costs nothing of what is there.

    Raises
    ------
    OSError
        If the server cannot be reached, has no such file or breaks off again and again, or the
        file cannot be written.
    """
    from requests import ConnectionError as NoConnection
    from requests import HTTPError, Timeout
    from requests.exceptions import ChunkedEncodingError

    for left in reversed(range(TRIES)):
        before = _size(part)
        try:
            _receive_once(url, part, tell, size)
        except HTTPError as error:
            beyond = error.response is not None and error.response.status_code == 416
            if not (beyond and before):
                raise
            part.unlink()  # longer than the file: not a part of this one
        except ChunkedEncodingError as error:
            if not left or _size(part) <= before:
                raise OSError("the connection breaks off") from error
        except (NoConnection, Timeout) as error:
            if not left or _size(part) <= before:
                raise OSError(f"no connection, or no answer for {TIMEOUT:g} s") from error
        else:
            return
        finally:
            if not _size(part):
                part.unlink(missing_ok=True)


def _receive_once(url: str, part: Path, tell: Tell | None, size: int | None) -> None:
    with part.open("ab") as stream:
        sink = _Sink(stream, tell, size)
        headers = {"Accept-Encoding": "identity"}  # bytes are counted as they are stored
        if sink.done:
            headers["Range"] = f"bytes={sink.done}-"
        download = pooch.HTTPDownloader(
            timeout=TIMEOUT, chunk_size=CHUNK, headers=headers, hooks={"response": sink.begin}
        )
        download(url, sink, None)


class _Sink:
    """A file being appended to, that counts; what `HTTPDownloader` writes into."""

    def __init__(self, stream: BinaryIO, tell: Tell | None, size: int | None) -> None:
        self._stream = stream
        self._tell = tell
        self._size = size
        self._total: int | None = None
        self.done = stream.tell()

    def begin(self, response: Response, **_: Any) -> None:
        """See what is coming: the rest, or all of it anew."""
        if not response.ok or response.is_redirect:
            return
        continued = response.headers.get("Content-Range", "").startswith(f"bytes {self.done}-")
        start = self.done if response.status_code == 206 and continued else 0
        length = response.headers.get("Content-Length", "")
        self._total = start + int(length) if length.isdigit() else None
        if self._size is not None and self._total not in (None, self._size):
            raise OSError(f"{NOT_PUBLISHED}, its size differs")
        self._stream.truncate(start)
        self.done = start

    def write(self, chunk: bytes) -> None:
        """Append."""
        self._stream.write(chunk)
        self.done += len(chunk)
        if self._tell:
            self._tell(self.done, self._total)

    def flush(self) -> None:
        """Hand over to the system, so that nothing is lost with the process."""
        self._stream.flush()


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
