"""Resumable download of a file over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pooch

if TYPE_CHECKING:
    from requests import Response

Report = Callable[[int, int | None], None]
"""Progress callback: the number of bytes received, and the total if it is known."""

TIMEOUT = 30.0
"""Seconds without an answer after which an attempt fails."""
CHUNK = 1 << 16
"""Bytes per write, and so the most that an interrupted connection loses."""
ATTEMPTS = 5
"""Number of attempts over an unreliable connection, as long as each receives something."""
WRONG_FILE = "the server does not send the published file"
WEB_PAGE = (
    "a web page was received instead, perhaps the login page of the network: log in with a browser"
)


class NoConnectionError(OSError):
    """The server cannot be reached, or does not answer."""


def receive(
    url: str, partial: Path, report: Report | None = None, *, size: int | None = None
) -> None:
    """Complete a partial file from a URL; received bytes stay if the download fails.

    Proxies are read from the environment (`HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY`).

    Parameters
    ----------
    url : str
    partial : Path
        Bytes in this file are not requested again if the server supports `Range`.
    report : callable, optional
    size : int, optional
        Size of the complete file in bytes. An answer of another size, or a web page, such as the
        login page of a network, is refused and leaves the partial file as it is.

    Raises
    ------
    OSError
        If the server cannot be reached, does not have the file or keeps interrupting the
        connection, or if the partial file cannot be written.
    """
    from requests import exceptions

    for attempts_left in reversed(range(ATTEMPTS)):
        before = _size(partial)
        try:
            _receive_once(url, partial, report, size)
        except exceptions.HTTPError as error:
            # 416: the partial file is longer than the published file, so not a part of it.
            if not before or error.response is None or error.response.status_code != 416:
                raise
            partial.unlink()
        except (
            exceptions.ChunkedEncodingError,
            exceptions.ConnectionError,
            exceptions.Timeout,
        ) as error:
            if not attempts_left or _size(partial) <= before:
                if isinstance(error, exceptions.ChunkedEncodingError):
                    raise OSError("the connection was interrupted") from error
                if isinstance(error, exceptions.SSLError):
                    raise OSError(_tls_problem(error)) from error
                raise NoConnectionError(f"no connection, or no answer for {TIMEOUT:g} s") from error
        else:
            return
        finally:
            if not _size(partial):
                partial.unlink(missing_ok=True)


def _receive_once(url: str, partial: Path, report: Report | None, size: int | None) -> None:
    with partial.open("ab") as stream:
        start, total = stream.tell(), None

        def begin(response: Response, **_: Any) -> None:
            nonlocal total
            if not response.ok or response.is_redirect:
                return
            if response.headers.get("Content-Type", "").startswith("text/html"):
                raise OSError(WEB_PAGE)
            content_range = response.headers.get("Content-Range", "")
            resumed = response.status_code == 206 and content_range.startswith(f"bytes {start}-")
            offset = start if resumed else 0
            length = response.headers.get("Content-Length", "")
            total = offset + int(length) if length.isdigit() else None
            if size is not None and total not in (None, size):
                raise OSError(f"{WRONG_FILE}, its size differs")
            stream.truncate(stream.seek(offset))

        def write(chunk: bytes) -> None:
            stream.write(chunk)
            stream.flush()
            if report:
                report(stream.tell(), total)

        headers = {"Accept-Encoding": "identity"}  # compressed bytes cannot be counted
        if start:
            headers["Range"] = f"bytes={start}-"
        download = pooch.HTTPDownloader(
            timeout=TIMEOUT, chunk_size=CHUNK, headers=headers, hooks={"response": begin}
        )
        download(url, SimpleNamespace(write=write, flush=stream.flush), None)


def _tls_problem(error: Exception) -> str:
    """Return the reason why a connection cannot be encrypted; without encryption, it is refused."""
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return "the certificate of the server is not valid"
    return "the server does not encrypt the connection"


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
