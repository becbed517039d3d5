"""CPU seconds that imports, `vrp-sam --help` and the panel take before they can be used.

    python benchmarks/startup.py --json benchmarks/results/startup.json

CPU time instead of elapsed time: it does not depend on what else the computer does. The panel is
measured by `first_minute.py`.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
from pathlib import Path

COMMANDS = {
    "python": ["-c", "pass"],
    "import napari_vrp_sam": ["-c", "import napari_vrp_sam"],
    "vrp-sam --help": ["-m", "napari_vrp_sam", "--help"],
    "vrp-sam segment --help": ["-m", "napari_vrp_sam", "segment", "--help"],
}
LIMITS = {"import napari_vrp_sam": 0.15, "vrp-sam --help": 0.5}
"""Goals, in seconds."""
REPEATS = 7


def cpu_seconds(arguments: list[str]) -> float:
    """Return the CPU time of a Python process, in seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measure and print all commands; exit with 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="file for the results")
    path = parser.parse_args().json
    seconds = {}
    for name, arguments in COMMANDS.items():
        cpu_seconds(arguments)  # compile the modules
        seconds[name] = statistics.median(cpu_seconds(arguments) for _ in range(REPEATS))
        limit = f", goal {LIMITS[name]}" if name in LIMITS else ""
        print(f"{name}: {seconds[name]:.3f} s{limit}")
    if path:
        result = {"cpu_seconds": {name: round(value, 3) for name, value in seconds.items()}}
        path.write_text(json.dumps({**result, "repeats": REPEATS, "limits": LIMITS}, indent=2))
    if any(seconds[name] > limit for name, limit in LIMITS.items()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
