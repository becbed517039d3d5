"""Run the blocks of a page of the documentation, as a reader would, in an empty folder."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path
from typing import Any

import yaml
from typer.testing import CliRunner

from napari_vrp_sam.cli import app

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
BLOCK = re.compile(r"^( *)```(\w+)([^\n]*)\n(.*?)^\1```", flags=re.MULTILINE | re.DOTALL)
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
METADATA = PYPROJECT["project"]


class Page:
    """Page of the documentation whose blocks are run in the current folder.

    Python blocks share their names. In `console` blocks, `vrp-sam` runs in this process; the extras
    of `pip install` have to exist; `sbatch` runs the script without Slurm, and `kubectl apply` the
    command of the container, with its volume in the current folder. Blocks with a title are files.

    Parameters
    ----------
    path : Path
    replacements : dict
        Text to replace before running, such as a long duration by a short one.
    """

    def __init__(self, path: Path, replacements: dict[str, str] | None = None) -> None:
        text = path.read_text("utf-8")
        for old, new in (replacements or {}).items():
            assert old in text, f"{path.name} does not contain {old}"
            text = text.replace(old, new)
        self.path, self.text = path, text
        self.names: dict[str, Any] = {"__name__": "page"}
        self.commands: list[str] = []

    def run(self) -> None:
        """Run all blocks in their order."""
        for _, language, options, text in BLOCK.findall(self.text):
            block = textwrap.dedent(text)
            title = re.search(r'title="([^"]+)"', options)
            if title:
                Path(title[1]).write_text(block, encoding="utf-8")
            elif language == "python":
                exec(compile(block, str(self.path), "exec"), self.names)
            elif language in ("console", "bash"):
                for line in block.replace("\\\n", " ").splitlines():
                    self._run_line(line)
            else:
                assert language in ("mermaid", "json", "text", "yaml"), language

    def _run_line(self, line: str) -> None:
        words = shlex.split(line, comments=True)
        if not words:
            return
        self.commands.append(" ".join(words))
        if words[0] == "vrp-sam":
            _run_program(words[1:])
        elif words[:4] == ["python", "-m", "pip", "install"]:
            _check_requirement(words[-1])
        elif words[0] == "sbatch":
            variables = {**os.environ, "SLURM_ARRAY_TASK_ID": "0", "SLURM_CPUS_PER_TASK": "1"}
            variables["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
            subprocess.run(["bash", words[-1]], env=variables, check=True)
        elif words[:2] == ["kubectl", "apply"]:
            _run_container(Path(words[-1]))
        else:
            assert words[0] in ("napari", "mkdir", "docker", "kubectl", "tox"), (
                f"cannot run: {line}"
            )
            if words[0] == "mkdir":
                Path(words[-1]).mkdir(parents=True, exist_ok=True)


def _run_program(arguments: list[str]) -> None:
    """Run `vrp-sam` with arguments, in which patterns name existing files."""
    expanded = [
        name
        for word in arguments
        for name in (sorted(map(str, Path().glob(word))) if "*" in word else [word])
    ]
    result = CliRunner().invoke(app, expanded)
    assert result.exit_code == 0, f"vrp-sam {shlex.join(expanded)}:\n{result.output}"


def _check_requirement(requirement: str) -> None:
    name, _, extras = requirement.partition("[")
    if name == METADATA["name"]:
        for extra in filter(None, extras.rstrip("]").split(",")):
            assert extra in METADATA["optional-dependencies"], extra


def _run_container(path: Path) -> None:
    """Run the command of the container of a Kubernetes job."""
    job = yaml.safe_load(path.read_text("utf-8"))
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    (mount,) = container["volumeMounts"]
    assert mount["name"] in [volume["name"] for volume in pod["volumes"]]
    words = [word.replace(f"{mount['mountPath']}/", "") for word in container["command"]]
    assert words[0] == "vrp-sam"
    _run_program(words[1:])
