"""Entries of the gallery of models, and removal of downloads."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from napari_vrp_sam.cli import app
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.models.weights import catalogue
from napari_vrp_sam.models.weights.downloads import PublishedFile
from napari_vrp_sam.models.weights.hub import FILE, hub_folder
from napari_vrp_sam.models.weights.model_spec import PACKAGED, ModelSpec
from napari_vrp_sam.models.zoo.model_entry import ModelEntry, remove_downloads, suggest_models
from napari_vrp_sam.models.zoo.registry import model_spec

CONTENT = b"weights" * 100


@pytest.fixture
def add(cache: Path, server: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModelSpec]:
    """Add models to the catalogue; they share one file."""
    server.files["sam.pth"] = CONTENT

    def add(name: str) -> ModelSpec:
        weights = PublishedFile(
            f"{server.url}/sam.pth", hashlib.sha256(CONTENT).hexdigest(), "MIT", len(CONTENT)
        )
        spec = ModelSpec(name, "For tests.", "vit_b", PACKAGED, "MIT", sam_weights=weights)
        monkeypatch.setattr(catalogue, "BUILT_IN", (*catalogue.BUILT_IN, spec))
        return spec

    return add


@pytest.mark.usefixtures("cache")
def test_entries_say_what_is_needed_to_choose() -> None:
    lite, gated, cells = (ModelEntry.of(model_spec(n)) for n in ("lite", "dinov3_s", "vit_b_lm"))
    assert (lite.state, lite.speed, lite.state_text) == ("packaged", "CPU", "in the package")
    assert gated.agreement == "https://huggingface.co/timm/vit_small_patch16_dinov3.lvd1689m"
    assert gated.licence == "DINOv3 License"
    assert gated.speed == "GPU"  # small, but a transformer
    assert ModelEntry.of(model_spec("dinov3_convnext_t")).speed == "CPU"
    assert cells.agreement == ""
    assert (cells.speed, cells.state) == ("GPU", "missing")
    assert cells.state_text == "not downloaded (375 MB)"
    assert "Nature Methods" in cells.citation


def test_states_of_a_download_and_its_removal(add: Callable[[str], ModelSpec], cache: Path) -> None:
    spec = add("one")
    with pytest.raises(InputError, match="There is no download of 'one' to remove"):
        remove_downloads(spec)
    cache.mkdir(parents=True)
    assert spec.sam_weights is not None
    spec.sam_weights.partial.write_bytes(CONTENT[:10])
    assert ModelEntry.of(spec).state == "partial"
    spec.download()
    assert ModelEntry.of(spec).state == "downloaded"
    assert CliRunner().invoke(app, ["models", "remove", "one"]).exit_code == 0
    assert ModelEntry.of(spec).state == "missing"
    assert not [path for path in cache.iterdir() if path.suffix != ".lock"]


def test_files_that_other_models_need_are_not_removed(
    add: Callable[[str], ModelSpec], cache: Path
) -> None:
    first = add("one")
    add("two")
    first.download()
    with pytest.raises(InputError, match="no download of 'one' to remove"):
        remove_downloads(first)
    assert (cache / "sam.pth").is_file()


def test_folders_of_the_hub_are_removed_only_in_the_own_cache(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = model_spec("dinov2_s")
    assert spec.backbone_weights is not None
    other = replace(spec.backbone_weights, repository="timm/other")
    for folder, weights in ((hub_folder(), spec.backbone_weights), (tmp_path / "hf", other)):
        root = folder / f"models--{weights.repository.replace('/', '--')}"  # type: ignore[attr-defined]
        (root / "snapshots" / ("a" * 40)).mkdir(parents=True)
        (root / "snapshots" / ("a" * 40) / FILE).write_bytes(CONTENT)
        (root / "refs").mkdir()
        (root / "refs" / "main").write_text("a" * 40)
    assert ModelEntry.of(spec).state == "downloaded"
    remove_downloads(spec)
    assert ModelEntry.of(spec).state == "missing"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hf"))
    if other.find() is not None:  # the client reads the folder when it is imported
        with pytest.raises(InputError, match="belongs to another program"):
            remove_downloads(replace(spec, backbone_weights=other))


@pytest.mark.parametrize(
    ("image", "model"),
    [
        ({"rgb": True}, "vit_b_histopathology"),
        ({"channels": 1}, "vit_b_lm"),
        ({"channels": 4, "on_map": True}, "dinov3_l_satellite"),
        ({"channels": 3}, "dinov2_s"),
    ],
)
def test_suggestions_name_models_of_the_catalogue(image: dict[str, Any], model: str) -> None:
    text = suggest_models(**image)
    assert model in text
    assert model_spec(model)
