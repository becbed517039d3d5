"""The rules of the house: who imports whom, what loads when, and papers that agree."""

import subprocess
import sys
from pathlib import Path

import pytest

import napari_vrp_sam

ROOT = Path(__file__).parents[1]
HEAVY = ("lightning", "napari", "segment_anything", "timm", "torch", "torchvision")
# What the window, `--help` and a worker's parent import before any work is asked for.
LIGHT_MODULES = (
    "napari_vrp_sam",
    "napari_vrp_sam.annotations.labels",
    "napari_vrp_sam.annotations.geometry",
    "napari_vrp_sam.annotations.simulate",
    "napari_vrp_sam.cli",
    "napari_vrp_sam.inference.runs.engine",
    "napari_vrp_sam.inference.frames",
    "napari_vrp_sam.inference.normalisation",
    "napari_vrp_sam.research.datasets.dataset",
    "napari_vrp_sam.io.images.stacks",
    "napari_vrp_sam.io.samples",
    "napari_vrp_sam.fine_tuning.api",
    "napari_vrp_sam.fine_tuning.events",
    "napari_vrp_sam.fine_tuning.job",
    "napari_vrp_sam.fine_tuning.interrupted.saved_job",
)


def loaded_after(statement: str) -> set[str]:
    """Top-level packages that a fresh interpreter holds after a statement."""
    code = f"import sys; {statement}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return set(run.stdout.split())


def test_imports_go_one_way() -> None:
    # A process of its own: import-linter disables all existing loggers of the process it runs in.
    command = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    arguments = ("--config", ROOT / "pyproject.toml", "--no-cache", "--no-logo")
    done = subprocess.run(
        [sys.executable, "-c", command, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_light_modules_load_nothing_heavy() -> None:
    code = (
        "import importlib, sys\n"
        f"for module in {LIGHT_MODULES}:\n"
        "    importlib.import_module(module)\n"
        f"    print(module, *sorted(set({HEAVY}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == list(LIGHT_MODULES)


def test_the_plugin_leaves_torch_alone() -> None:
    source = ROOT / "src"
    modules = sorted(
        ".".join(path.relative_to(source).with_suffix("").parts)
        for path in (source / "napari_vrp_sam/plugin").rglob("*.py")
        if path.name != "__init__.py"
    )
    assert "torch" not in loaded_after(f"import {', '.join(modules)}")


@pytest.mark.parametrize("name", napari_vrp_sam.__all__)
def test_every_public_name_exists_and_is_documented(name: str) -> None:
    assert getattr(napari_vrp_sam, name).__doc__


def test_the_public_names_exist() -> None:
    assert {"InputError", "Reference", "fine_tune", "load_model", "segment_stack"} <= set(
        dir(napari_vrp_sam)
    )
    with pytest.raises(AttributeError):
        napari_vrp_sam.no_such_name  # noqa: B018


def test_manifest_at_the_top_is_the_packaged_one() -> None:
    top, packaged = ROOT / "napari.yaml", ROOT / "src/napari_vrp_sam/napari.yaml"
    # Git on Windows may check a link out as a small file that holds the target's path.
    assert top.samefile(packaged) or top.read_text().strip() == "src/napari_vrp_sam/napari.yaml"


def test_the_package_is_complete() -> None:
    package = Path(napari_vrp_sam.__file__).parent
    assert (package / "napari.yaml").is_file()
    assert (package / "py.typed").is_file()
    assert list((package / "models/weights").glob("*.safetensors"))


def test_readme_suits_pypi_and_napari_hub() -> None:
    """Both show the README away from the repository: links and images must be absolute."""
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    targets = [part.partition(")")[0] for line in lines for part in line.split("](")[1:]]
    assert targets
    assert [target for target in targets if not target.startswith("https://")] == []


@pytest.mark.skipif(sys.platform == "win32", reason="CI runs a bash script")
def test_ci_runs_the_command_line_of_the_readme(tmp_path: Path) -> None:
    """`.ci/run` takes its command out of the README; here it finds a stand-in for it there."""
    (tmp_path / ".ci").mkdir()
    (tmp_path / ".ci/run").write_bytes((ROOT / ".ci/run").read_bytes())
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    command = readme.partition("<!-- all checks -->")[2].split("```")[1].removeprefix("console\n")
    assert command.rstrip().endswith("python -m pip install tox && tox")
    stand_in = "NAME=all\necho tested $NAME && exit 3\n"
    (tmp_path / "README.md").write_text(readme.replace(command, stand_in), encoding="utf-8")
    run = subprocess.run(
        ["bash", ".ci/run"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert run.returncode == 3
    assert run.stdout.splitlines()[-1] == "tested all"
