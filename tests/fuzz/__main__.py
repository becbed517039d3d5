"""Fuzz the readers of files: `python -m tests.fuzz --seconds 60`.

Each file is a mutation of a valid one, made from its number alone, so that a finding is repeated by
`--only KIND --first NUMBER --count 1`. The only allowed outcomes are a result and an `InputError`.
"""

from __future__ import annotations

import argparse
import collections
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.fuzz.targets import TARGETS


@dataclass
class Tally:
    """Numbers of files read and refused, and what was found, with the number of a file."""

    read: int = 0
    refused: int = 0
    seconds: float = 0.0
    last: int = 0
    found: dict[str, list[int]] = field(default_factory=lambda: collections.defaultdict(list))


def fuzz(name: str, first: int, count: int, seconds: float) -> Tally:
    """Fuzz one kind of file for some seconds, or for a number of files."""
    tally, begin, number = Tally(), time.monotonic(), first
    ready = None
    while number < first + count and (ready is None or time.monotonic() < ready + seconds):
        left = seconds if ready is None else ready + seconds - time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            given = [name, str(number), str(first + count - number), folder, str(left + 600)]
            process = subprocess.Popen(
                [sys.executable, "-B", "-m", "tests.fuzz.worker", *given],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            assert process.stdout is not None
            running: int | None = None
            for line in process.stdout:
                event: dict[str, Any] = json.loads(line)
                if "started" in event:
                    running = event["started"]
                    ready = ready or time.monotonic()
                elif "done" in event:
                    number, running = event["done"] + 1, None
                    tally.read += event["outcome"] == "read"
                    tally.refused += event["outcome"] == "refused"
                    for problem in event["found"]:
                        tally.found[problem].append(event["done"])
                    if ready is not None and time.monotonic() > ready + seconds:
                        process.kill()
                        break
            ended = process.wait()
            process.stdout.close()
            if running is not None and ended not in (0, -9):
                kind = "did not end in time" if ended == 1 else f"ended the process ({ended})"
                tally.found[kind].append(running)
                number = running + 1
            elif ended not in (0, -9):
                raise RuntimeError(f"{name} cannot be fuzzed: the harness fails after {number}")
    tally.seconds = time.monotonic() - (ready or begin)
    tally.last = number - 1
    return tally


def main() -> int:
    """Fuzz all kinds and print a table; return 1 if anything was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="for all kinds together")
    parser.add_argument("--only", choices=TARGETS, help="one kind of file")
    parser.add_argument("--first", type=int, default=0, help="number of the first file")
    parser.add_argument("--count", type=int, default=10**9, help="files of each kind")
    parser.add_argument("--json", type=Path, help="write the numbers to a file")
    options = parser.parse_args()
    names = [options.only] if options.only else list(TARGETS)
    tallies = {}
    for name in names:
        share = options.seconds / len(names)
        tallies[name] = tally = fuzz(name, options.first, options.count, share)
        files = tally.read + tally.refused
        rate = files / max(tally.seconds, 1e-9)
        print(f"{name}: {files} files, {tally.refused} refused, {rate:.0f} per second", flush=True)
        for problem, numbers in sorted(tally.found.items()):
            print(f"  {problem}: {len(numbers)} files, the first is {numbers[0]}", flush=True)
    if options.json:
        rows = {
            name: {
                "files": t.read + t.refused,
                "refused": t.refused,
                "findings": sum(map(len, t.found.values())),
                "seconds": round(t.seconds, 1),
            }
            for name, t in tallies.items()
        }
        options.json.write_text(json.dumps(rows, indent=2) + "\n")
    return int(any(tally.found for tally in tallies.values()))


if __name__ == "__main__":
    sys.exit(main())
