"""Recipes for conda and containers, templates of the repository, and contents of the wheel."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image
from tests.docs.pages import METADATA, PYPROJECT, ROOT
from tests.scripts import load_script
from typer.testing import CliRunner

from napari_vrp_sam.cli import app

CONDA = {"torch": "pytorch", "dask[array]": "dask-core", "lazy-loader": "lazy_loader"}
"""Names of packages that differ on conda-forge."""
LARGEST_WHEEL = 40_000_000


@pytest.fixture
def recipe() -> dict[str, Any]:
    """The conda recipe, with the values of its context filled in."""
    text = (ROOT / "packaging/conda/recipe.yaml").read_text("utf-8")
    context = yaml.safe_load(text)["context"]
    filled: dict[str, Any] = yaml.safe_load(
        re.sub(r"\${{ (\w+) }}", lambda found: context.get(found[1], found[0]), text)
    )
    return filled


def test_the_conda_recipe_has_the_dependencies_of_the_package(recipe: dict[str, Any]) -> None:
    listed = [line.replace(" ", "") for line in recipe["requirements"]["run"]]
    expected = ["python" + METADATA["requires-python"]]
    for requirement in METADATA["dependencies"]:
        name = re.match(r"[\w-]+(\[\w+\])?", requirement)[0]
        conda = CONDA.get(name, name.replace("huggingface-", "huggingface_"))
        expected.append(conda + requirement.removeprefix(name))
    assert sorted(listed) == sorted(expected)
    built_with = [line.replace(" ", "") for line in recipe["requirements"]["host"]]
    assert set(PYPROJECT["build-system"]["requires"]) <= set(built_with)
    commands = [f"{name} = {target}" for name, target in METADATA["scripts"].items()]
    assert recipe["build"]["python"]["entry_points"] == commands


def test_the_conda_recipe_describes_the_package(recipe: dict[str, Any]) -> None:
    about, urls = recipe["about"], METADATA["urls"]
    assert recipe["package"]["name"] == METADATA["name"]
    assert about["license"] == METADATA["license"]
    assert [about["license_file"]] == METADATA["license-files"]
    assert (about["homepage"], about["documentation"]) == (urls["Homepage"], urls["Documentation"])
    assert about["repository"] == urls["Source Code"]
    assert recipe["source"]["url"].endswith(f"napari_vrp_sam-{recipe['package']['version']}.tar.gz")
    for test in recipe["tests"]:
        for line in test.get("script", []):
            if line.startswith("vrp-sam"):
                assert CliRunner().invoke(app, [*line.split()[1:], "--help"]).exit_code == 0


def test_the_container_copies_what_exists_and_installs_known_extras() -> None:
    text = (ROOT / "packaging/Dockerfile").read_text("utf-8").replace("\\\n", " ")
    instructions = [line.split(maxsplit=1) for line in text.splitlines() if line[:1].isupper()]
    assert {word for word, _ in instructions} <= {
        "ARG", "FROM", "WORKDIR", "COPY", "RUN", "USER", "ENV", "ENTRYPOINT",
    }  # fmt: skip
    for word, rest in instructions:
        if word == "COPY" and not rest.startswith("--from"):
            for name in rest.split()[:-1]:
                assert (ROOT / name).exists(), name
    (extras,) = re.findall(r'"\${wheel}\[([^\]]+)\]"', text)
    assert set(extras.split(",")) <= set(METADATA["optional-dependencies"])
    (base,) = {rest.split()[0] for word, rest in instructions if word == "FROM"}
    version = tuple(map(int, re.findall(r"\d+", base)))
    assert version >= tuple(map(int, re.findall(r"\d+", METADATA["requires-python"])))
    (entry,) = [rest for word, rest in instructions if word == "ENTRYPOINT"]
    assert json.loads(entry) == list(METADATA["scripts"])


@pytest.mark.parametrize("path", sorted((ROOT / ".github").rglob("*.yml")), ids=lambda p: p.name)
def test_files_of_the_repository_can_be_read(path: Path) -> None:
    content = yaml.safe_load(path.read_text("utf-8"))
    if path.parent.name == "ISSUE_TEMPLATE" and path.name != "config.yml":
        assert {"name", "description", "body"} <= set(content)
        assert all(field["attributes"]["label"] for field in content["body"])


@pytest.mark.slow
def test_the_wheel_is_small_and_holds_what_users_need(tmp_path: Path) -> None:
    code = f"from hatchling.build import build_wheel; print(build_wheel({str(tmp_path)!r}))"
    built = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    path = tmp_path / built.stdout.split()[-1]
    assert path.stat().st_size < LARGEST_WHEEL
    with zipfile.ZipFile(path) as wheel:
        names = wheel.namelist()
        metadata = wheel.read(next(n for n in names if n.endswith("METADATA"))).decode()
    package = "napari_vrp_sam"
    for name in ("napari.yaml", "py.typed", "__init__.pyi", "models/weights/lite.safetensors"):
        assert f"{package}/{name}" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {package}
    assert not [name for name in names if "__pycache__" in name or "/tests/" in name]
    assert "Annotate a class on one slice" in metadata


def test_the_page_on_the_manifest_is_up_to_date() -> None:
    manifest = load_script("docs/reference/manifest.py")
    assert manifest.PAGE.read_text("utf-8") == manifest.page(), "run docs/reference/manifest.py"
    listed = yaml.safe_load((ROOT / "napari.yaml").read_text("utf-8"))["contributions"]["menus"]
    assert set(manifest.MENUS) == set(listed) - {"napari/layers/annotate"}


def test_clips_are_small_and_animated() -> None:
    for name in ("annotate", "correct", "scratch-assay"):
        path = ROOT / "docs/images" / f"{name}.gif"
        assert path.stat().st_size < 2_000_000
        with Image.open(path) as clip:
            assert clip.n_frames > 10
            assert clip.info["loop"] == 0


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) < 120
