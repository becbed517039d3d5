"""Version, changelog fragments and citation are consistent, and ready for a release."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from tests.docs.pages import ROOT

import napari_vrp_sam

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
TYPES = {one["directory"] for one in PYPROJECT["tool"]["towncrier"]["type"]}
FRAGMENT = re.compile(r"(\d+|\+[a-z0-9-]+)\.(\w+)\.md")
FRAGMENTS = [path for path in (ROOT / "changelog.d").iterdir() if path.name != ".gitignore"]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
ZENODO = json.loads((ROOT / ".zenodo.json").read_text("utf-8"))


@pytest.mark.parametrize("path", FRAGMENTS, ids=lambda path: path.name)
def test_a_fragment_is_found_and_is_a_sentence(path: Path) -> None:
    parts = FRAGMENT.fullmatch(path.name)
    assert parts, "the name is NUMBER.TYPE.md or +NAME.TYPE.md"
    assert parts[2] in TYPES
    text = path.read_text("utf-8")
    assert re.match(r"[A-Z`*\[0-9]", text), "a sentence, without a bullet"
    assert text.rstrip().endswith(".")


def test_fragments_have_a_place_in_the_changelog() -> None:
    place = PYPROJECT["tool"]["towncrier"]["start_string"]
    assert (ROOT / "CHANGELOG.md").read_text("utf-8").count(place) == 1


def test_citation_and_zenodo_agree() -> None:
    assert ZENODO["title"] == CITATION["title"] == PYPROJECT["project"]["name"]
    authors = [author["name"] for author in CITATION["authors"]]
    assert [one["name"] for one in ZENODO["creators"]] == authors
    assert authors == [one["name"] for one in PYPROJECT["project"]["authors"]]
    assert ZENODO["license"] == CITATION["license"] == PYPROJECT["project"]["license"]
    assert ZENODO["description"] == CITATION["abstract"]
    assert ZENODO["keywords"] == CITATION["keywords"]
    related = {one["identifier"] for one in ZENODO["related_identifiers"]}
    paper = CITATION["references"][0]["identifiers"][0]["value"]
    assert related == {CITATION["repository-code"], paper}


def test_only_the_tag_names_the_version() -> None:
    assert "version" not in CITATION
    assert "version" not in ZENODO
    assert "version" in PYPROJECT["project"]["dynamic"]
    assert metadata.version("napari-vrp-sam") == napari_vrp_sam.__version__


def test_a_copy_that_was_not_installed_has_a_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    assert napari_vrp_sam.__version__ == "0+unknown"


GIT = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org"]
BUILD = """
from hatchling.metadata.core import ProjectMetadata
from hatchling.plugin.manager import PluginManager
print(ProjectMetadata(".", PluginManager()).version)
"""


def version_of(folder: Path) -> str:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SETUPTOOLS_SCM")}
    found = subprocess.run(
        [sys.executable, "-c", BUILD],
        cwd=folder,
        env={**environment, "GIT_CEILING_DIRECTORIES": str(folder.parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    return found.stdout.split()[-1]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("git") is None, reason="needs Git")
def test_the_version_follows_from_the_tag(tmp_path: Path) -> None:
    pytest.importorskip("hatch_vcs")
    copied = tmp_path / "copied"
    copied.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copied)
    assert version_of(copied) == PYPROJECT["tool"]["hatch"]["version"]["fallback-version"]

    def git(*arguments: str, folder: Path = copied) -> None:
        subprocess.run([*GIT, *arguments], cwd=folder, check=True, capture_output=True)

    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "-m", "first")
    assert re.fullmatch(r"0\.1\.dev1\+g\w+", version_of(copied))
    git("tag", "v1.2.3")
    assert version_of(copied) == "1.2.3"
    git("commit", "--quiet", "--allow-empty", "-m", "second")
    assert re.fullmatch(r"1\.2\.4\.dev1\+g\w+", version_of(copied))
    shallow = tmp_path / "shallow"
    git("clone", "--quiet", "--depth", "1", "--no-tags", copied.as_uri(), str(shallow))
    assert re.fullmatch(r"0\.1\.dev1\+g\w+", version_of(shallow))
    sdist = tmp_path / "sdist"
    sdist.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, sdist)
    (sdist / "PKG-INFO").write_text("Metadata-Version: 2.4\nName: napari-vrp-sam\nVersion: 1.2.3\n")
    assert version_of(sdist) == "1.2.3"
