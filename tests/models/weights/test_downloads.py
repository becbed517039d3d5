"""Downloads from a local test server."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest
from filelock import FileLock

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.models.weights import downloads, transfer
from napari_vrp_sam.models.weights.downloads import (
    CACHE_VARIABLE,
    MIRROR_VARIABLE,
    OFFLINE_VARIABLE,
    PublishedFile,
    cache_folder,
    copy_to_cache,
    fetch,
    text_progress,
)

CONTENT = b"weights " * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()
LOCK, PART = ".good.pth.lock", f".good.pth.{DIGEST[:8]}.part"


@pytest.fixture
def weights(server: Any, cache: Path, monkeypatch: pytest.MonkeyPatch) -> PublishedFile:
    monkeypatch.setattr(transfer, "CHUNK", 100)
    server.files |= {"good.pth": CONTENT, "portal.pth": b"<html>log in first</html>"}
    server.files |= {"spoilt.pth": b"x" + CONTENT[1:], "empty.pth": b""}
    return PublishedFile(f"{server.url}/good.pth", DIGEST, "Apache-2.0", len(CONTENT))


@pytest.fixture
def write_partial(cache: Path) -> Callable[[bytes], Path]:
    """Write the partial file of an interrupted download."""

    def write(content: bytes) -> Path:
        cache.mkdir(parents=True, exist_ok=True)
        (cache / PART).write_bytes(content)
        return cache / PART

    return write


def names(cache: Path) -> list[str]:
    """Names of the files in the cache, without lock files."""
    return sorted(p.name for p in cache.iterdir() if p.suffix != ".lock")


def test_file_is_downloaded_once(server: Any, weights: PublishedFile, cache: Path) -> None:
    assert not weights.downloaded
    reports: list[tuple[int, int, str]] = []
    assert fetch(weights, progress=lambda *args: reports.append(args)) == cache / "good.pth"
    assert fetch(weights).read_bytes() == CONTENT
    assert server.requests == ["good.pth"]
    assert reports[-1] == (len(CONTENT), len(CONTENT), "good.pth")
    assert weights.downloaded
    assert weights.verify()
    assert names(cache) == ["good.pth"]


def test_prefix_of_digest_suffices(weights: PublishedFile) -> None:
    short = replace(weights, digest=weights.digest[:8], size=None)
    assert fetch(short).read_bytes() == CONTENT


def test_interrupted_connection_is_resumed(server: Any, weights: PublishedFile) -> None:
    server.breaks["good.pth"] = 3000
    assert fetch(weights).read_bytes() == CONTENT
    assert server.requests == ["good.pth", "good.pth bytes=3000-", "good.pth bytes=6000-"]


def test_failed_download_is_resumed_by_next_call(
    server: Any, weights: PublishedFile, cache: Path
) -> None:
    server.breaks["good.pth"] = 1000
    with pytest.raises(InputError, match="which resumes the download"):
        fetch(weights)  # five attempts receive 5000 bytes
    assert names(cache) == [PART]
    server.requests.clear()
    del server.breaks["good.pth"]
    assert fetch(weights).read_bytes() == CONTENT
    assert server.requests == ["good.pth bytes=5000-"]
    assert names(cache) == ["good.pth"]


def test_server_without_range_requests(
    server: Any, weights: PublishedFile, write_partial: Callable[[bytes], Path]
) -> None:
    server.rangeless.add("good.pth")
    write_partial(CONTENT[:500])
    assert fetch(weights).read_bytes() == CONTENT
    assert server.requests == ["good.pth bytes=500-"]
    server.breaks["good.pth"] = 500
    other = replace(weights, url=f"{server.url}/other.pth")
    server.files["other.pth"], server.breaks["other.pth"] = CONTENT, 500
    server.rangeless.add("other.pth")
    weights.path.unlink()
    with pytest.raises(InputError, match="Cannot download other"):
        fetch(other)  # stops, because no attempt receives more than the previous one
    assert server.requests[1:] == ["other.pth", "other.pth bytes=500-"]


@pytest.mark.parametrize("size", [len(CONTENT), None])
def test_login_page_is_named_and_leaves_the_partial_file(
    server: Any, weights: PublishedFile, write_partial: Callable[[bytes], Path], size: int | None
) -> None:
    weights = replace(weights, size=size)
    there = write_partial(CONTENT[:5000])
    server.files["good.pth"] = b"<html>log in first</html>"
    server.rangeless.add("good.pth")
    server.pages.add("good.pth")
    with pytest.raises(InputError) as error:
        fetch(weights)
    assert "login page of the network: log in" in str(error.value).splitlines()[0]
    assert there.read_bytes() == CONTENT[:5000]


@pytest.mark.parametrize("status", [401, 403])
def test_refused_access_is_named(server: Any, weights: PublishedFile, status: int) -> None:
    server.refused["good.pth"] = status
    with pytest.raises(InputError, match=r"but the server refuses access\.\n"):
        fetch(weights)


def test_login_page_does_not_replace_partial_file(
    server: Any, weights: PublishedFile, write_partial: Callable[[bytes], Path]
) -> None:
    there = write_partial(CONTENT[:5000])
    server.files["good.pth"] = server.files["portal.pth"]
    server.rangeless.add("good.pth")
    with pytest.raises(InputError, match="its size differs"):
        fetch(weights)
    assert there.read_bytes() == CONTENT[:5000]


@pytest.mark.parametrize("wrong", [b"x" * 500, b"x" * 9000, b"x" * len(CONTENT)])
def test_partial_file_of_another_file_is_discarded(
    server: Any,
    weights: PublishedFile,
    write_partial: Callable[[bytes], Path],
    wrong: bytes,
    cache: Path,
) -> None:
    write_partial(wrong)
    assert fetch(weights).read_bytes() == CONTENT
    assert server.requests == [f"good.pth bytes={len(wrong)}-", "good.pth"]
    assert names(cache) == ["good.pth"]


def test_slow_server_does_not_time_out_while_it_sends(
    server: Any, weights: PublishedFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "TIMEOUT", 0.5)
    server.pauses["good.pth"] = 0.08  # 0.8 s in total
    assert fetch(weights).read_bytes() == CONTENT


def test_a_missing_connection_is_one_sentence_before_the_details(weights: PublishedFile) -> None:
    named = replace(weights, url="http://127.0.0.1:9/sam.pth", size=375_042_383, title="SAM ViT-B")
    with pytest.raises(InputError) as error:
        fetch(named)
    first, details = str(error.value).split("\n")
    assert first == "SAM ViT-B has to be downloaded (375 MB), but there is no connection."
    assert "put the file at" in details


def test_a_failed_download_is_not_called_a_missing_connection(
    server: Any, weights: PublishedFile
) -> None:
    with pytest.raises(InputError, match=r"MB\), but the download failed\.\n"):
        fetch(replace(weights, url=f"{server.url}/absent.pth"))


def test_silent_server_times_out(
    server: Any, weights: PublishedFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "TIMEOUT", 0.1)
    server.pauses["good.pth"] = 1.0
    with pytest.raises(InputError, match=r"Cannot download good\.pth .*no answer for 0\.1 s"):
        fetch(weights)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/absent.pth", r"Cannot download absent\.pth .*404.*put the file at .*absent\.pth"),
        ("/portal.pth", r"does not send the published file, its size differs"),
        ("/spoilt.pth", r"does not send the published file, its digest differs"),
        ("/empty.pth", r"does not send the published file"),
    ],
)
def test_wrong_file_is_not_stored(
    weights: PublishedFile, cache: Path, server: Any, path: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        fetch(replace(weights, url=server.url + path))
    assert names(cache) == []


def test_unreachable_server(weights: PublishedFile) -> None:
    with pytest.raises(InputError, match="check the connection"):
        fetch(replace(weights, url="http://127.0.0.1:9/good.pth"))


def test_proxy_of_environment_is_used(
    server: Any, weights: PublishedFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.url)
    assert fetch(replace(weights, url="http://weights.invalid/good.pth")).read_bytes() == CONTENT


def test_mirror_is_tried_before_publisher(
    server: Any, weights: PublishedFile, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = replace(weights, url="http://127.0.0.1:9/models/good.pth")
    monkeypatch.setenv(MIRROR_VARIABLE, f"{server.url}/mirror/")
    assert fetch(elsewhere).read_bytes() == CONTENT
    (cache / "good.pth").unlink()
    server.files["good.pth"] = b"the mirror's own"
    with pytest.raises(
        InputError, match=r"mirror/good\.pth: the server does not send.*; http://127.0.0.1:9/"
    ):
        fetch(elsewhere)
    server.files["published.pth"] = CONTENT
    monkeypatch.setenv(MIRROR_VARIABLE, "http://127.0.0.1:9")
    published = replace(weights, url=f"{server.url}/published.pth")
    assert fetch(published).read_bytes() == CONTENT


def test_offline_mode_sends_no_request(
    server: Any, weights: PublishedFile, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(OFFLINE_VARIABLE, "1")
    with pytest.raises(InputError, match=r"good\.pth is not in .*, under any name"):
        fetch(weights)
    cache.mkdir(parents=True)
    (cache / "good.pth").write_bytes(CONTENT)
    assert fetch(weights) == cache / "good.pth"
    assert server.requests == []


@pytest.mark.parametrize("size", [len(CONTENT), None])
def test_file_of_any_name_is_recognised_by_its_digest(
    server: Any, weights: PublishedFile, cache: Path, size: int | None
) -> None:
    weights = replace(weights, size=size)
    cache.mkdir(parents=True)
    (cache / "a.bin").write_bytes(b"x" * len(CONTENT))
    (cache / "from a colleague").write_bytes(CONTENT)
    assert weights.verify()
    assert fetch(weights) == cache / "good.pth"  # its suffix tells how to read it
    assert fetch(weights).read_bytes() == CONTENT
    assert server.requests == []
    assert names(cache) == ["a.bin", "from a colleague", "good.pth"]


@pytest.mark.parametrize("quick", [True, False])
def test_unlisted_size_needs_the_digest_if_that_is_quick(
    weights: PublishedFile, cache: Path, quick: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = replace(weights, size=None, digest=DIGEST[:8])
    cache.mkdir(parents=True)
    assert not weights.downloaded
    (cache / "another.pth").write_bytes(b"x" * len(CONTENT))
    assert not weights.downloaded
    (cache / "from a colleague").write_bytes(CONTENT)
    if not quick:
        monkeypatch.setattr(downloads, "MAX_QUICK_DIGEST", len(CONTENT))
    assert weights.downloaded == quick
    assert weights.verify()


def no_links(_source: Path, _target: Path) -> None:
    raise OSError(95, "Operation not supported")


def test_file_is_copied_to_its_published_name_without_hard_links(
    server: Any, weights: PublishedFile, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.link", no_links)
    cache.mkdir(parents=True)
    (cache / "sam weights.bin").write_bytes(CONTENT)
    assert fetch(weights) == cache / "good.pth"
    assert (cache / "good.pth").read_bytes() == CONTENT
    assert names(cache) == ["good.pth", "sam weights.bin"]
    (cache / "good.pth").unlink()
    (cache / "sam weights.bin").rename(cache / "mine.pth")
    assert fetch(weights) == cache / "mine.pth"  # its suffix is readable
    (cache / "mine.pth").rename(cache / "mine.bin")

    def copyfile(*_: object, **__: object) -> None:
        raise OSError(13, "Permission denied")

    monkeypatch.setattr("shutil.copyfile", copyfile)
    with pytest.raises(InputError, match=r"Permission denied: rename .*mine\.bin to good\.pth\."):
        fetch(weights)
    assert server.requests == []


def test_copying_to_the_cache_is_atomic(
    weights: PublishedFile, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "copy.pth").write_bytes(CONTENT)
    assert copy_to_cache(tmp_path / "copy.pth", weights) == cache / "good.pth"
    assert weights.verify()
    (cache / "good.pth").unlink()

    def copyfile(source: Path, target: Path) -> None:
        target.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", copyfile)
    with pytest.raises(InputError, match="No space left on device"):
        copy_to_cache(tmp_path / "copy.pth", weights)
    assert names(cache) == []


def test_damaged_file_is_replaced(server: Any, weights: PublishedFile, cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / "good.pth").write_bytes(CONTENT[:-1])
    assert weights.downloaded
    assert not weights.verify()
    assert fetch(weights).read_bytes() == CONTENT
    assert server.requests == ["good.pth"]


FETCH = """
import sys
from napari_vrp_sam.models.weights.downloads import PublishedFile, fetch
print("ready", flush=True)
sys.stdin.readline()
print(fetch(PublishedFile(*sys.argv[1:4], int(sys.argv[4]))))
"""


def test_one_of_two_processes_downloads(server: Any, weights: PublishedFile, cache: Path) -> None:
    server.pauses["good.pth"] = 0.05
    of_file = (weights.url, weights.digest, weights.licence, str(weights.size))
    command = [sys.executable, "-c", FETCH, *of_file]
    both = [subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True) for _ in range(2)]
    assert [process.stdout.readline() for process in both if process.stdout] == ["ready\n"] * 2
    for process in both:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    reports = [process.communicate(timeout=60)[0].strip() for process in both]
    assert reports == [str(cache / "good.pth")] * 2
    assert server.requests == ["good.pth"]
    assert names(cache) == ["good.pth"]


def test_waiting_process_reports_progress_of_the_other(
    weights: PublishedFile, write_partial: Callable[[bytes], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_vrp_sam.files.LOCK_POLL_SECONDS", 0.01)
    write_partial(CONTENT[:3000])
    other = FileLock(weights.path.with_name(LOCK))
    other.acquire()
    reports: list[int] = []

    def report(done: int, total: int, name: str) -> None:
        reports.append(done)
        if len(reports) == 3:
            write_partial(CONTENT)
            weights.partial.replace(weights.path)  # as the other process does at its end
            other.release()

    assert fetch(weights, progress=report).read_bytes() == CONTENT
    assert reports == [3000] * 3


def test_cache_folder_that_is_a_file(weights: PublishedFile, cache: Path) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_text("a file where the folder should be")
    with pytest.raises(InputError, match="cannot be read or written"):
        fetch(weights)


def test_text_progress_reports_each_per_cent() -> None:
    reports: list[str] = []
    progress = text_progress(reports.append)
    for done in range(1001):
        progress(done * 2_000_000, 2_000_000_000, "sam.pth")
    assert len(reports) == 101
    assert reports[35] == "Downloading sam.pth: 35 % of 2,000 MB"
    progress(3_400_000, 0, "small.pth")
    assert reports[-1] == "Downloading small.pth: 3 MB"


def test_tilde_in_the_variable_is_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, "~/sam")
    assert cache_folder() == Path.home() / "sam"


def test_default_is_the_cache_folder_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CACHE_VARIABLE, raising=False)
    assert "napari-vrp-sam" in cache_folder().parts
