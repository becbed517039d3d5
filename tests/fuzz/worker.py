"""A process that reads mutated files and reports what was not allowed; see `__main__`."""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import random
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.fuzz.targets import TARGETS, mutate

from napari_vrp_sam.errors import InputError

SECONDS = 5
"""Longest time for one file."""
GIGABYTES = 2
"""Largest memory of the process, with the libraries."""
CHANGES = (
    "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.chmod",
    "os.truncate", "shutil.rmtree", "shutil.move",
)  # fmt: skip
FORBIDDEN = (
    "os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "socket.connect",
    "socket.getaddrinfo", "socket.sendto", "ctypes.dlopen", "urllib.Request", "webbrowser.open",
)  # fmt: skip


class Guard:
    """Audit hook that notes what a file made the interpreter do.

    Parameters
    ----------
    folder : Path
        The only folder in which files may be written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder.resolve())
        self.active = False
        self.seen: list[str] = []
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.active:
            return
        if event in FORBIDDEN:
            self.seen.append(f"{event} {arguments[:2]!r}"[:200])
        elif event in CHANGES or (event == "open" and self._writes(arguments)):
            path = arguments[0]
            inside = isinstance(path, str | bytes | os.PathLike) and os.path.realpath(
                os.fsdecode(path)
            ).startswith(self._folder)
            if not inside and path != os.devnull and not isinstance(path, int):
                self.seen.append(f"{event} {path!r}"[:200])

    @staticmethod
    def _writes(arguments: tuple[Any, ...]) -> bool:
        _, mode, flags = arguments
        if isinstance(mode, str):
            return any(letter in mode for letter in "wax+")
        return bool((flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def problems(error: BaseException | None) -> Iterator[str]:
    """Yield what is wrong with the outcome of reading a file."""
    if error is None:
        return
    if not isinstance(error, InputError):
        frames = traceback.extract_tb(error.__traceback__)
        ours = [f for f in frames if "napari_vrp_sam" in f.filename] or list(frames)
        where = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}"
        yield f"{type(error).__name__} in {where}: {str(error)[:120]}"
        return
    text = str(error)
    if "\n" in text.strip() or len(text) > 1500 or not text.endswith((".", ".'")):
        yield f"not one sentence: {text[:200]!r}"


def run(
    name: str, first: int, count: int, guard: Guard, folder: Path, until: float = float("inf")
) -> Iterator[dict[str, Any]]:
    """Read mutated files of a kind, and yield the number and the problems of each."""
    target = TARGETS[name]
    seeds, work = folder / name / "seeds", folder / name / "work"
    seeds.mkdir(parents=True)
    paths = target.seeds(seeds)
    for path in paths:  # imports what is needed
        with contextlib.suppress(InputError):
            target.read(path)
    for number in range(first, first + count):
        if time.monotonic() > until:
            return
        rng = random.Random(f"{name} {number}")
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        seed = rng.choice(paths)
        path = work / seed.name
        shutil.copytree(seed, path) if seed.is_dir() else shutil.copy(seed, path)
        mutate(path, rng)
        yield {"started": number}
        outcome, found = attempt(lambda path=path: target.read(path), guard)
        yield {"done": number, "outcome": outcome, "found": found}
        if any("of memory" in problem for problem in found):
            return  # a new process, because the peak does not fall


def attempt(read: Callable[[], Any], guard: Guard) -> tuple[str, list[str]]:
    """Read a file, and return "read" or "refused" and what was not allowed."""
    error: BaseException | None = None
    faulthandler.dump_traceback_later(4 * SECONDS, exit=True)
    begin = time.process_time()
    guard.active = True
    try:
        read()
    except BaseException as caught:
        error = caught
    guard.active = False
    faulthandler.cancel_dump_traceback_later()
    found = [*problems(error), *(f"not allowed: {event}" for event in guard.seen)]
    guard.seen.clear()
    # CPU time, because the computer may be busy.
    if (spent := time.process_time() - begin) > SECONDS:
        found.append(f"{spent:.0f} s")
    if (memory := peak_memory()) > GIGABYTES:
        found.append(f"{memory:.1f} GB of memory")
    return "read" if error is None else "refused", found


def peak_memory() -> float:
    """Return the largest memory of this process so far in GB; 0 where it is unknown.

    `getrusage` would count the memory of the process that started this one, too.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 2**20 for line in lines if line.startswith("VmHWM")), 0.0)


def main() -> None:
    """Report to standard output, one line of JSON for each event."""
    name, first, count, folder, seconds = sys.argv[1:]
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # libraries may print
    until = time.monotonic() + float(seconds)
    print(json.dumps({"ready": True}), file=out)
    guard = Guard(Path(folder))
    for kind in TARGETS if name == "all" else [name]:
        for event in run(kind, int(first), int(count), guard, Path(folder), until):
            print(json.dumps(event), file=out)


if __name__ == "__main__":
    main()
