from __future__ import annotations

import errno
import logging
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise

import pytest
import typer
from typer.testing import CliRunner

from napari_vrp_sam.cli import app
from napari_vrp_sam.cli.app import CommandGroup
from napari_vrp_sam.errors import InputError

runner = CliRunner()
COMMANDS = [
    ["demo"], ["fine-tune"], ["segment"], ["objects"], ["benchmark"], ["evaluate"], ["models"],
    ["data"], ["train"], ["models", "download"], ["models", "export"], ["evaluate", "one-slice"],
]  # fmt: skip


def test_help_lists_the_commands() -> None:
    result = runner.invoke(app, ["--help"])
    assert result.exit_code == 0
    for command in ("demo", "segment", "objects", "evaluate", "models", "benchmark"):
        assert command in result.stdout


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("command", COMMANDS)
def test_help_fills_its_lines(command: list[str], width: int) -> None:
    result = runner.invoke(app, [*command, "--help"], env={"COLUMNS": str(width)})
    assert result.exit_code == 0
    description = result.stdout.split("╭")[0].splitlines()[3:]
    for line, following in pairwise(description):
        if line.strip() and following.strip():
            next_word = following.split()[0]
            # One column on either side is empty.
            assert len(line.rstrip()) + 1 + len(next_word) >= width - 1, line


def test_help_imports_nothing_heavy() -> None:
    heavy = {"torch", "napari", "skimage", "sklearn", "scipy", "dask"}
    code = (
        "import sys; from napari_vrp_sam.cli import app\n"
        "try: app(['--help'])\n"
        "except SystemExit as end: assert end.code == 0\n"
        f"print(sorted({heavy} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_package_runs_as_a_module() -> None:
    command = [sys.executable, "-m", "napari_vrp_sam"]
    listed = subprocess.run([*command, "models"], capture_output=True, text=True, check=True)
    assert "lite" in listed.stdout
    wrong = subprocess.run([*command, "nothing"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2


@pytest.fixture
def logging_command() -> Iterator[None]:
    """Register a command that logs on two levels."""

    @app.command("log")
    def log() -> None:
        logger = logging.getLogger("napari_vrp_sam.models")
        logger.info("Loading [a]")
        logger.warning("No contrast in [a]")

    yield
    app.registered_commands.pop()


@pytest.mark.usefixtures("logging_command")
def test_verbose_prints_the_log_of_the_library() -> None:
    assert runner.invoke(app, ["log"]).stderr == "WARNING: No contrast in [a]\n"
    verbose = runner.invoke(app, ["--verbose", "log"])
    assert verbose.stderr == "INFO: Loading [a]\nWARNING: No contrast in [a]\n"
    assert verbose.stdout == ""
    assert runner.invoke(app, ["log"]).stderr == "WARNING: No contrast in [a]\n"


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (InputError("The stack [a] is empty."), 2, "Error: The stack [a] is empty."),
        (
            OSError(errno.ENAMETOOLONG, "File name too long", "a.tif"),
            2,
            "Error: a.tif cannot be used: File name too long. Choose another path.",
        ),
        (KeyboardInterrupt(), 130, "Interrupted."),
    ],
)
def test_exit_codes(error: BaseException, code: int, message: str) -> None:
    failing = typer.Typer(cls=CommandGroup)

    @failing.command()
    def fail() -> None:
        raise error

    @failing.command()
    def other() -> None:
        pass

    result = runner.invoke(failing, ["fail"])
    assert result.exit_code == code
    assert result.stderr.strip() == message


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM for one process")
def test_termination_ends_like_an_interruption() -> None:
    code = (
        "import os, signal\n"
        "from napari_vrp_sam.cli.app import app\n"
        "@app.command()\n"
        "def wait():\n"
        "    try:\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "        signal.pause()\n"
        "    finally:\n"
        "        print('finished frames are saved')\n"
        "app(['wait'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 143
    assert done.stdout.strip() == "finished frames are saved"
    assert done.stderr.strip() == "Terminated."


def test_internal_errors_exit_with_1() -> None:
    code = (
        "from napari_vrp_sam.cli.app import app\n"
        "@app.command()\n"
        "def fail(): raise RuntimeError('internal')\n"
        "app(['fail'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "internal" in done.stderr


def test_invalid_usage_exits_with_2() -> None:
    assert runner.invoke(app, ["segment"]).exit_code == 2
    assert runner.invoke(app, ["nothing"]).exit_code == 2
