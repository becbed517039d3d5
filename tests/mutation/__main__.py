"""Score of the tests of a module: `python -m tests.mutation MODULE TESTS... --seconds 300`.

Each mutant is a module with one small change, see `mutants`; the tests should fail with it. A
sample of the mutants is tried. Each is tried in a fork of a process that has imported the
libraries: with mutmut and cosmic-ray, importing torch took most of the time. Not on Windows.
"""

from __future__ import annotations

import argparse
import ast
import gc
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import random
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import CodeType, ModuleType

import dask.array  # noqa: F401 # imported once for all mutants
import hypothesis  # noqa: F401
import pandas as pd  # noqa: F401
import pytest
import scipy.ndimage  # noqa: F401
import skimage.measure  # noqa: F401
import sklearn  # noqa: F401
import tifffile  # noqa: F401
import torch
import torchvision  # noqa: F401
import zarr  # noqa: F401
from tests.mutation.mutants import mutants

SOURCE = Path(__file__).parents[2] / "src"
SLOWER = 10
"""Times the CPU time of the original after which a mutant counts as noticed."""


class Finder(importlib.abc.MetaPathFinder):
    """Import a changed module instead of the one in its file."""

    def __init__(self, name: str, path: Path, code: CodeType) -> None:
        self.name, self.path, self.code = name, path, code

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """See the base class."""
        if fullname != self.name:
            return None
        loader = importlib.machinery.SourceFileLoader(fullname, str(self.path))
        loader.get_code = lambda _: self.code  # type: ignore[method-assign]
        return importlib.util.spec_from_file_location(fullname, self.path, loader=loader)


def forked(task: Callable[[], int], cpu_seconds: int) -> tuple[int, float]:
    """Do a task in a fork, and return its status (0: success) and CPU time."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds))
            silent = os.open(os.devnull, os.O_WRONLY)
            os.dup2(silent, 1)
            os.dup2(silent, 2)
            status = task()
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return status, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> int:
    """Try mutants until the time is over, and print those that no test noticed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("module", help="such as annotations/geometry.py")
    parser.add_argument("tests", nargs="+")
    parser.add_argument("--seconds", type=float, default=480)
    parser.add_argument("--most", type=int, default=10**6, help="mutants")
    parser.add_argument("--verbose", action="store_true", help="print each mutant")
    parser.add_argument(
        "--json",
        type=Path,
        help="add the result to this file, whose judgements of mutants as equivalent are kept",
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    path = SOURCE / "napari_vrp_sam" / options.module
    name = ".".join(path.relative_to(SOURCE).with_suffix("").parts)
    # Without the plugins and warnings of pyproject.toml, whose imports take most of the time.
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    arguments = [
        *("-q", "-x", "-p", "no:cacheprovider", "-m", "not slow and not alone"),
        *("-c", os.devnull, "--rootdir", str(SOURCE.parent), "--import-mode=importlib"),
    ]

    def run_tests(code: CodeType | None = None) -> Callable[[], int]:
        def task() -> int:
            if code is not None:
                sys.meta_path.insert(0, Finder(name, path, code))
            return int(pytest.main([*arguments, *options.tests]))

        return task

    status, usual = forked(run_tests(), 600)
    if status:
        print(f"The tests of {options.module} fail without any change.")
        return 1
    every = list(mutants(path.read_text("utf-8")))
    random.Random(0).shuffle(every)
    gc.freeze()
    begin, tried, survived = time.monotonic(), 0, []
    for mutant in every[: options.most]:
        if time.monotonic() - begin > options.seconds:
            break
        code = compile(ast.fix_missing_locations(mutant.tree), str(path), "exec")
        status, seconds = forked(run_tests(code), int(SLOWER * usual) + 5)
        tried += 1
        if options.verbose:
            print(status, f"{seconds:.1f} s", mutant.change, flush=True)
        if status == 0:
            survived.append(mutant.change)
            print(f"{options.module} {mutant.change}", flush=True)
    found = tried - len(survived)
    score = f"{100 * found / max(tried, 1):.0f} %"
    print(f"{options.module}: {found} of {tried} noticed ({score}), {len(every)} possible")
    if options.json:
        report = json.loads(options.json.read_text()) if options.json.exists() else {"modules": {}}
        judged = report["modules"].get(options.module, {}).get("equivalent", {})
        report["modules"][options.module] = {
            "tests": options.tests,
            "possible": len(every),
            "tried": tried,
            "noticed": found,
            "survived": survived,
            "equivalent": {change: judged[change] for change in survived if change in judged},
        }
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
