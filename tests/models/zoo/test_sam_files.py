"""Files with weights of SAM: those of Meta, micro-sam, torch_em and MedSAM."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import segment_anything
import torch
from segment_anything.modeling import Sam
from tests.docs.pages import ROOT
from tests.tiny_sam import build_tiny_sam
from torch import Tensor
from typer.testing import CliRunner

from napari_vrp_sam.cli import app
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.models.sam.full_size_model import FullSizeModel
from napari_vrp_sam.models.weights.checkpoints import write_checkpoint
from napari_vrp_sam.models.weights.headers import sam_variant
from napari_vrp_sam.models.weights.specialised import SPECIALISED
from napari_vrp_sam.models.zoo.registry import (
    base_spec,
    describe_prompting,
    file_spec,
    load_model,
    model_spec,
)
from napari_vrp_sam.models.zoo.user_models import add, list_user_models

DEPTHS = {"vit_b": 12, "vit_l": 24, "vit_h": 32}


@pytest.fixture
def tiny_variants(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the variants of SAM by small ones with as many blocks."""
    for variant, depth in DEPTHS.items():
        builder = partial(build_tiny_sam, depth=depth)
        monkeypatch.setitem(segment_anything.sam_model_registry, variant, builder)


@pytest.fixture(scope="module")
def sam() -> Sam:
    return build_tiny_sam(seed=5, depth=12)


def with_prefix(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in state.items()}


CONTAINERS: dict[str, Callable[[dict[str, Tensor]], Any]] = {
    "meta.pth": lambda state: state,
    "medsam.pth": lambda state: with_prefix(state, "module."),
    # Of torch_em's trainer, without the prefix and with another decoder.
    "micro_sam.pt": lambda state: {
        "model_state": state,
        "decoder_state": {"decoder.weight": torch.zeros(2)},
        "epoch": 7,
    },
    "torch_em.pt": lambda state: {
        "model_state": with_prefix(state, "sam."),
        "optimizer_state": {"state": {}, "param_groups": [{"lr": 1e-5}]},
    },
    "lightning.ckpt.pt": lambda state: {"state_dict": with_prefix(state, "sam.")},
}


@pytest.mark.usefixtures("tiny_variants")
@pytest.mark.parametrize("name", CONTAINERS)
def test_every_container_gives_the_same_model(name: str, sam: Sam, tmp_path: Path) -> None:
    path = tmp_path / name
    torch.save(CONTAINERS[name](sam.state_dict()), path)
    assert sam_variant(path) == "vit_b"
    assert base_spec(str(path)).name == "vit_b"
    assert "no VRP encoder" in describe_prompting(str(path))
    model = load_model(path, device="cpu")
    assert isinstance(model, FullSizeModel)
    for key, tensor in sam.state_dict().items():
        assert torch.equal(model.sam.state_dict()[key], tensor)


@pytest.mark.usefixtures("tiny_variants")
def test_safetensors_and_half_precision(sam: Sam, tmp_path: Path) -> None:
    path = tmp_path / "sam.safetensors"
    half = {n: t.half() if t.is_floating_point() else t for n, t in sam.state_dict().items()}
    write_checkpoint(path, half)
    model = load_model(path, device="cpu")
    assert isinstance(model, FullSizeModel)
    weight = "image_encoder.blocks.3.mlp.lin1.weight"
    torch.testing.assert_close(model.sam.state_dict()[weight], half[weight].float())


def test_variants_are_recognised_by_their_blocks(tmp_path: Path) -> None:
    for variant, depth in DEPTHS.items():
        names = [f"image_encoder.blocks.{index}.mlp.lin1.weight" for index in range(depth)]
        for legacy in (False, True):
            path = tmp_path / "sam.pth"
            state = {name: torch.zeros(1) for name in names}
            torch.save(state, path, _use_new_zipfile_serialization=not legacy)
            assert sam_variant(path) == variant
    torch.save({"other": torch.zeros(1)}, path)
    assert sam_variant(path) is None
    assert sam_variant(tmp_path / "missing.pth") is None


@pytest.mark.usefixtures("tiny_variants")
def test_container_that_needs_unpickling_is_refused(sam: Sam, tmp_path: Path) -> None:
    class Attack:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "executed",)

    path = tmp_path / "bad.pt"
    torch.save({"model_state": sam.state_dict(), "trainer": Attack()}, path, pickle_module=pickle)
    with pytest.raises(InputError, match="not a PyTorch file that holds only tensors"):
        load_model(path, device="cpu")
    assert not (tmp_path / "executed").exists()


def test_a_file_with_a_whole_sam_is_described_and_needs_no_import(sam: Sam, tmp_path: Path) -> None:
    path = tmp_path / "torch_em.pt"
    torch.save(CONTAINERS[path.name](sam.state_dict()), path)
    spec = file_spec(str(path))
    assert (spec.name, spec.description) == (str(path), "SAM ViT-B, in a file.")
    assert (spec.downloads, spec.metadata(), spec.user_weights) == ((), {}, path)
    shown = CliRunner().invoke(app, ["models", "show", str(path)])
    assert shown.exit_code == 0
    assert "SAM ViT-B, in a file." in shown.stdout
    with pytest.raises(InputError, match=r"a whole SAM \(vit_b\), which needs no import"):
        add(path)
    assert list_user_models() == []
    missing = CliRunner().invoke(app, ["models", "show", str(tmp_path / "missing.pt")])
    assert "There is no weights file at" in missing.stderr


def test_specialised_models_have_a_licence_and_a_citation() -> None:
    for spec in SPECIALISED:
        assert model_spec(spec.name) is spec
        assert spec.licence
        assert spec.citation
        (file,) = spec.downloads  # the semantic encoder is part of the package
        assert file.name.startswith(spec.name)
    assert len({spec.downloads[0].path for spec in SPECIALISED}) == len(SPECIALISED)


def test_the_documentation_lists_the_licence_of_each_specialised_model() -> None:
    page = (ROOT / "docs/models/features-and-specialised.md").read_text("utf-8")
    for spec in SPECIALISED:
        (row,) = [
            line for line in page.splitlines() if line[:1] == "|" and f"`{spec.name}`" in line
        ]
        licence, cited = row.split("|")[3:5]
        assert licence.strip().startswith(spec.licence), spec.name
        assert "the same" in cited or cited.strip().replace("*", "") == spec.citation
