"""A small share of the fuzzing, and that it notices what is not allowed."""

import json
import subprocess
import sys

import pytest

FILES = 12
"""Mutated files of each kind; `tox -e fuzz` reads thousands."""

NOTICED = """
import os, socket, sys
from pathlib import Path
from napari_vrp_sam.errors import InputError
from tests.fuzz.worker import Guard, attempt

folder = Path(sys.argv[1])
def connect():
    with socket.socket() as one:
        one.connect_ex(("127.0.0.1", 9))
def refuse(text):
    raise InputError(text)
guard = Guard(folder / "inside")
for read in (
    lambda: (folder / "inside" / "file").write_text(""),
    lambda: refuse("The file is damaged: give another."),
    lambda: (folder / "outside").write_text(""),
    lambda: os.mkdir(folder / "folder"),
    lambda: os.system("true"),
    connect,
    lambda: {}["key"],
    lambda: refuse("Two\\nlines."),
):
    print(len(attempt(read, guard)[1]))
"""


def python(*arguments):
    run = subprocess.run(
        [sys.executable, *map(str, arguments)], check=False, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()


def test_what_is_not_allowed_is_noticed(tmp_path):
    (tmp_path / "inside").mkdir()
    assert list(map(int, python("-c", NOTICED, tmp_path))) == [0, 0, 1, 1, 1, 1, 1, 1]


@pytest.mark.thorough
def test_damaged_files_are_read_or_refused_in_one_sentence(tmp_path):
    from tests.fuzz.targets import TARGETS

    lines = python("-m", "tests.fuzz.worker", "all", 0, FILES, tmp_path, 600)
    done = [event for event in map(json.loads, lines) if "done" in event]
    assert [event for event in done if event["found"]] == []
    assert len(done) == FILES * len(TARGETS)
    assert {event["outcome"] for event in done} == {"read", "refused"}
