from __future__ import annotations

import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from napari_vrp_sam.cli import app
from napari_vrp_sam.cli.app import _Group
from napari_vrp_sam.errors import InputError

runner = CliRunner()


def test_help_lists_the_commands() -> None:
    result = runner.invoke(app, ["--help"])
    assert result.exit_code == 0
    for command in ("demo", "segment", "evaluate", "models", "benchmark"):
        assert command in result.stdout


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


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (InputError("The stack [a] is empty."), 2, "Error: The stack [a] is empty."),
        (KeyboardInterrupt(), 130, "Interrupted."),
    ],
)
def test_exit_codes(error: BaseException, code: int, sentence: str) -> None:
    faulty = typer.Typer(cls=_Group)

    @faulty.command()
    def fail() -> None:
        raise error

    @faulty.command()
    def other() -> None:
        pass

    result = runner.invoke(faulty, ["fail"])
    assert result.exit_code == code
    assert result.stderr.strip() == sentence


def test_our_own_faults_exit_with_1() -> None:
    code = (
        "from napari_vrp_sam.cli.app import app\n"
        "@app.command()\n"
        "def fail(): raise RuntimeError('ours')\n"
        "app(['fail'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "ours" in done.stderr


def test_wrong_usage_exits_with_2() -> None:
    assert runner.invoke(app, ["segment"]).exit_code == 2
    assert runner.invoke(app, ["nothing"]).exit_code == 2
