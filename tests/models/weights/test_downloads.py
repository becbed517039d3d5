"""Downloads from a server on this machine: what arrives, what does not, what is wrong."""

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
    WeightsFile,
    cache_folder,
    fetch,
    in_words,
    keep,
)

CONTENT = b"weights " * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()
LOCK, PART = ".good.pth.lock", f".good.pth.{DIGEST[:8]}.part"


@pytest.fixture
def weights(server: Any, cache: Path, monkeypatch: pytest.MonkeyPatch) -> WeightsFile:
    monkeypatch.setattr(transfer, "CHUNK", 100)
    server.files |= {"good.pth": CONTENT, "portal.pth": b"<html>log in first</html>"}
    server.files |= {"spoilt.pth": b"x" + CONTENT[1:], "empty.pth": b""}
    return WeightsFile(f"{server.url}/good.pth", DIGEST, "Apache-2.0", len(CONTENT))


@pytest.fixture
def part(cache: Path) -> Callable[[bytes], Path]:
    """Leave what an earlier try has brought."""

    def leave(content: bytes) -> Path:
        cache.mkdir(parents=True, exist_ok=True)
        (cache / PART).write_bytes(content)
        return cache / PART

    return leave


def names(cache: Path) -> list[str]:
    """What lies in the cache, but for locks, which are empty."""
    return sorted(p.name for p in cache.iterdir() if p.suffix != ".lock")


def test_a_file_is_downloaded_once(server: Any, weights: WeightsFile, cache: Path) -> None:
    assert not weights.downloaded
    told: list[tuple[str, int, int | None]] = []
    assert fetch(weights, progress=lambda *args: told.append(args)) == cache / "good.pth"
    assert fetch(weights).read_bytes() == CONTENT
    assert server.requests == ["good.pth"]
    assert told[-1] == ("good.pth", len(CONTENT), len(CONTENT))
    assert weights.downloaded
    assert weights.verify()
    assert names(cache) == ["good.pth"]


def test_the_first_digits_of_a_digest_suffice(weights: WeightsFile) -> None:
    short = replace(weights, sha256=weights.sha256[:8], size=None)
    assert fetch(short).read_bytes() == CONTENT


def test_a_download_that_breaks_off_goes_on_where_it_ended(
    server: Any, weights: WeightsFile
) -> None:
    server.breaks["good.pth"] = 3000
    assert fetch(weights).read_bytes() == CONTENT
    assert server.requests == ["good.pth", "good.pth bytes=3000-", "good.pth bytes=6000-"]


def test_what_came_before_a_failure_is_kept_for_the_next_try(
    server: Any, weights: WeightsFile, cache: Path
) -> None:
    server.breaks["good.pth"] = 1000
    with pytest.raises(InputError, match="goes on where this try ended"):
        fetch(weights)  # five tries bring 5000 bytes
    assert names(cache) == [PART]
    server.requests.clear()
    del server.breaks["good.pth"]
    assert fetch(weights).read_bytes() == CONTENT
    assert server.requests == ["good.pth bytes=5000-"]
    assert names(cache) == ["good.pth"]


def test_a_server_that_knows_no_ranges(
    server: Any, weights: WeightsFile, part: Callable[[bytes], Path]
) -> None:
    server.rangeless.add("good.pth")
    part(CONTENT[:500])
    assert fetch(weights).read_bytes() == CONTENT
    assert server.requests == ["good.pth bytes=500-"]
    server.breaks["good.pth"] = 500
    other = replace(weights, url=f"{server.url}/other.pth")
    server.files["other.pth"], server.breaks["other.pth"] = CONTENT, 500
    server.rangeless.add("other.pth")
    weights.path.unlink()
    with pytest.raises(InputError, match="Cannot download other"):
        fetch(other)  # and ends, as no try brings more than the one before
    assert server.requests[1:] == ["other.pth", "other.pth bytes=500-"]


def test_a_page_in_its_stead_costs_nothing_of_what_is_there(
    server: Any, weights: WeightsFile, part: Callable[[bytes], Path]
) -> None:
    there = part(CONTENT[:5000])
    server.files["good.pth"] = server.files["portal.pth"]
    server.rangeless.add("good.pth")
    with pytest.raises(InputError, match="its size differs"):
        fetch(weights)
    assert there.read_bytes() == CONTENT[:5000]


@pytest.mark.parametrize("wrong", [b"x" * 500, b"x" * 9000, b"x" * len(CONTENT)])
def test_a_part_of_something_else_is_given_up(
    server: Any, weights: WeightsFile, part: Callable[[bytes], Path], wrong: bytes, cache: Path
) -> None:
    part(wrong)
    assert fetch(weights).read_bytes() == CONTENT
    assert server.requests == [f"good.pth bytes={len(wrong)}-", "good.pth"]
    assert names(cache) == ["good.pth"]


def test_a_slow_server_is_waited_for_as_long_as_it_sends(
    server: Any, weights: WeightsFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "TIMEOUT", 0.5)
    server.pauses["good.pth"] = 0.08  # 0.8 s in all
    assert fetch(weights).read_bytes() == CONTENT


def test_a_server_that_falls_silent_is_given_up(
    server: Any, weights: WeightsFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "TIMEOUT", 0.1)
    server.pauses["good.pth"] = 1.0
    with pytest.raises(InputError, match=r"Cannot download good\.pth .*no answer for 0\.1 s"):
        fetch(weights)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/absent.pth", r"Cannot download absent\.pth .*404.*put the file at .*absent\.pth"),
        ("/portal.pth", r"does not send the file that was published, its size differs"),
        ("/spoilt.pth", r"does not send the file that was published, its sha256 differs"),
        ("/empty.pth", r"does not send the file that was published"),
    ],
)
def test_what_is_not_the_file_leaves_nothing_behind(
    weights: WeightsFile, cache: Path, server: Any, path: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        fetch(replace(weights, url=server.url + path))
    assert names(cache) == []


def test_no_server(weights: WeightsFile) -> None:
    with pytest.raises(InputError, match="check the connection"):
        fetch(replace(weights, url="http://127.0.0.1:9/good.pth"))


def test_a_proxy_of_the_environment_is_asked(
    server: Any, weights: WeightsFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.url)
    assert fetch(replace(weights, url="http://weights.invalid/good.pth")).read_bytes() == CONTENT


def test_a_mirror_comes_first_and_the_publisher_after_it(
    server: Any, weights: WeightsFile, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = replace(weights, url="http://127.0.0.1:9/models/good.pth")
    monkeypatch.setenv(MIRROR_VARIABLE, f"{server.url}/mirror/")
    assert fetch(elsewhere).read_bytes() == CONTENT
    (cache / "good.pth").unlink()
    server.files["good.pth"] = b"the mirror's own"
    with pytest.raises(
        InputError, match=r"mirror/good\.pth: it does not send.*; http://127.0.0.1:9/"
    ):
        fetch(elsewhere)
    server.files["published.pth"] = CONTENT
    monkeypatch.setenv(MIRROR_VARIABLE, "http://127.0.0.1:9")
    published = replace(weights, url=f"{server.url}/published.pth")
    assert fetch(published).read_bytes() == CONTENT


def test_offline_nothing_is_asked_for(
    server: Any, weights: WeightsFile, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(OFFLINE_VARIABLE, "1")
    with pytest.raises(InputError, match=r"good\.pth is not in .*, under any name"):
        fetch(weights)
    cache.mkdir(parents=True)
    (cache / "good.pth").write_bytes(CONTENT)
    assert fetch(weights) == cache / "good.pth"
    assert server.requests == []


@pytest.mark.parametrize("size", [len(CONTENT), None])
def test_a_file_brought_under_any_name_is_known_by_its_digest(
    server: Any, weights: WeightsFile, cache: Path, size: int | None
) -> None:
    weights = replace(weights, size=size)
    cache.mkdir(parents=True)
    (cache / "a.bin").write_bytes(b"x" * len(CONTENT))
    (cache / "from a colleague").write_bytes(CONTENT)
    assert weights.verify()
    assert fetch(weights) == cache / "good.pth"  # whose suffix says how to read it
    assert fetch(weights).read_bytes() == CONTENT
    assert server.requests == []
    assert names(cache) == ["a.bin", "from a colleague", "good.pth"]


@pytest.mark.parametrize("quickly", [True, False])
def test_a_file_of_unknown_size_is_known_by_its_digest_if_that_is_quick(
    weights: WeightsFile, cache: Path, quickly: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = replace(weights, size=None, sha256=DIGEST[:8])
    cache.mkdir(parents=True)
    assert not weights.downloaded
    (cache / "another.pth").write_bytes(b"x" * len(CONTENT))
    assert not weights.downloaded
    (cache / "from a colleague").write_bytes(CONTENT)
    if not quickly:
        monkeypatch.setattr(downloads, "QUICKLY_READ", len(CONTENT))
    assert weights.downloaded == quickly
    assert weights.verify()


def no_links(_self: Path, _target: Path) -> None:
    raise OSError(95, "Operation not supported")


def test_without_links_a_brought_file_is_copied_to_its_name(
    server: Any, weights: WeightsFile, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "hardlink_to", no_links)
    cache.mkdir(parents=True)
    (cache / "sam weights.bin").write_bytes(CONTENT)
    assert fetch(weights) == cache / "good.pth"
    assert (cache / "good.pth").read_bytes() == CONTENT
    assert names(cache) == ["good.pth", "sam weights.bin"]
    (cache / "good.pth").unlink()
    (cache / "sam weights.bin").rename(cache / "mine.pt")
    assert fetch(weights) == cache / "mine.pt"  # can be read as it is
    (cache / "mine.pt").rename(cache / "mine.bin")

    def copyfile(source: Path, target: Path) -> None:
        raise OSError(13, "Permission denied")

    monkeypatch.setattr("shutil.copyfile", copyfile)
    with pytest.raises(InputError, match=r"Permission denied: rename .*mine\.bin to good\.pth\."):
        fetch(weights)
    assert server.requests == []


def test_a_brought_file_is_copied_whole_or_not_at_all(
    weights: WeightsFile, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "brought").write_bytes(CONTENT)
    assert keep(tmp_path / "brought", weights) == cache / "good.pth"
    assert weights.verify()
    (cache / "good.pth").unlink()

    def copyfile(source: Path, target: Path) -> None:
        target.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", copyfile)
    with pytest.raises(InputError, match="No space left on device"):
        keep(tmp_path / "brought", weights)
    assert names(cache) == []


def test_a_damaged_file_is_replaced(server: Any, weights: WeightsFile, cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / "good.pth").write_bytes(CONTENT[:-1])
    assert weights.downloaded
    assert not weights.verify()
    assert fetch(weights).read_bytes() == CONTENT
    assert server.requests == ["good.pth"]


FETCH = """
import sys
from napari_vrp_sam.models.weights.downloads import WeightsFile, fetch
print("ready", flush=True)
sys.stdin.readline()
print(fetch(WeightsFile(*sys.argv[1:4], int(sys.argv[4]))))
"""


def test_of_two_processes_one_downloads(server: Any, weights: WeightsFile, cache: Path) -> None:
    server.pauses["good.pth"] = 0.05
    of_file = (weights.url, weights.sha256, weights.licence, str(weights.size))
    command = [sys.executable, "-c", FETCH, *of_file]
    both = [subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True) for _ in range(2)]
    assert [process.stdout.readline() for process in both if process.stdout] == ["ready\n"] * 2
    for process in both:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    told = [process.communicate(timeout=60)[0].strip() for process in both]
    assert told == [str(cache / "good.pth")] * 2
    assert server.requests == ["good.pth"]
    assert names(cache) == ["good.pth"]


def test_whoever_waits_for_another_is_told_how_far_that_one_is(
    weights: WeightsFile, part: Callable[[bytes], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "PATIENCE", 0.01)
    part(CONTENT[:3000])
    other = FileLock(weights.path.with_name(LOCK))
    other.acquire()
    told: list[int] = []

    def tell(name: str, done: int, total: int | None) -> None:
        told.append(done)
        if len(told) == 3:
            part(CONTENT)
            weights.part.replace(weights.path)  # as the other does at its end
            other.release()

    assert fetch(weights, progress=tell).read_bytes() == CONTENT
    assert told == [3000] * 3


def test_a_cache_that_cannot_be_written(weights: WeightsFile, cache: Path) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_text("a file where the folder should be")
    with pytest.raises(InputError, match="cannot be read or written"):
        fetch(weights)


def test_progress_in_words_at_every_per_cent() -> None:
    told: list[str] = []
    tell = in_words(told.append)
    for done in range(1001):
        tell("sam.pth", done * 2_000_000, 2_000_000_000)
    assert len(told) == 101
    assert told[35] == "Downloading sam.pth: 35 % of 2,000 MB"
    tell("small.pth", 3_400_000, None)
    assert told[-1] == "Downloading small.pth: 3 MB"


def test_a_tilde_in_the_variable_is_the_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, "~/sam")
    assert cache_folder() == Path.home() / "sam"


def test_without_the_variable_the_systems_cache_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CACHE_VARIABLE, raising=False)
    assert "napari-vrp-sam" in cache_folder().parts
