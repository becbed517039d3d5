"""Links to other sites are complete, encrypted, and lead to hosts that somebody has looked at."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from tests.docs.pages import ROOT

LINK = re.compile(r"\bhttps?:[^\s)>\"'`|}<,\\\]]*")
KNOWN = """
    ai.meta.com arxiv.org bioimage.io cdn.jsdelivr.net cocodataset.org distributed.dask.org
    dl.fbaipublicfiles.com
    docs.rapids.ai download.pytorch.org forum.image.sc github.com gitlab.com huggingface.co
    hypothesis.readthedocs.io imagej.net img.shields.io import-linter.readthedocs.io
    jfly.uni-koeln.de jobqueue.dask.org keepachangelog.com napari.org kubernetes.dask.org
    mrcfile.readthedocs.io napari-vrp-sam.github.io ngff.openmicroscopy.org nipy.org numpy.org
    owncloud.gwdg.de pillow.readthedocs.io pyav.basswood-io.com pypi.org pytorch.org
    rasterio.readthedocs.io raw.githubusercontent.com scientific-python.org semver.org
    sronpersonalpages.nl uk1s3.embassy.ebi.ac.uk www.h5py.org www.ilastik.org
    www2.eecs.berkeley.edu zarr.readthedocs.io zenodo.org
"""
HOSTS = frozenset(KNOWN.split())
NOT_ENCRYPTED = frozenset(["host.robots.ox.ac.uk", "images.cocodataset.org"])
"""Hosts of the datasets of the paper that have no encryption."""
EXAMPLES = frozenset(["127.0.0.1:9", "weights.example.org"])
FILES = [
    *ROOT.glob("*.md"),
    *(ROOT / name for name in ("CITATION.cff", "pyproject.toml", "mkdocs.yml", ".zenodo.json")),
    *(ROOT / "docs").rglob("*.md"),
    *(ROOT / "src").rglob("*.py"),
    *(ROOT / "packaging").rglob("*.yaml"),
]


def links(text: str) -> Iterator[str]:
    for found in LINK.findall(text):
        yield found.rstrip(".:;*")


def problem(link: str) -> str:
    """Return what is wrong with a link, or an empty string."""
    parts = urlsplit(link)
    if not parts.netloc or "{" in parts.netloc:
        return "" if "{" in link or parts.path == "" else "has no host"
    if parts.netloc in EXAMPLES:
        return ""
    if parts.scheme != "https" and parts.netloc not in NOT_ENCRYPTED:
        return "is not encrypted"
    if parts.netloc not in HOSTS | NOT_ENCRYPTED:
        return "leads to a host that is not in the list of this test: is it written correctly?"
    return "contains //" if "//" in parts.path.replace("/https://", "") else ""


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("https://github.com/napari", ""),
        ("http://github.com/napari", "is not encrypted"),
        ("https://gihtub.com/napari", "leads to a host"),
        ("https:/github.com/napari", "has no host"),
        ("https://github.com//napari", "contains //"),
    ],
)
def test_wrong_links_are_recognised(link: str, expected: str) -> None:
    assert problem(link).startswith(expected)
    assert bool(problem(link)) == bool(expected)


def test_links_are_complete_and_lead_to_known_hosts() -> None:
    assert len(FILES) > 100
    wrong: list[str] = []
    seen: set[str] = set()
    for path in FILES:
        for link in links(path.read_text("utf-8")):
            seen.add(urlsplit(link).netloc)
            if text := problem(link):
                wrong.append(f"{path.relative_to(ROOT)}: {link} {text}")
    assert wrong == []
    assert seen >= HOSTS | NOT_ENCRYPTED, "hosts that are no longer linked"


def test_paths_of_the_repository_exist() -> None:
    """Links to files of the main branch on GitHub."""
    pattern = re.compile(r"napari-vrp-sam/napari-vrp-sam/(?:blob|tree)/main/([\w./+-]*[\w/])")
    found = {name for path in FILES for name in pattern.findall(path.read_text("utf-8"))}
    assert found
    assert [name for name in sorted(found) if not (ROOT / name).exists()] == []
