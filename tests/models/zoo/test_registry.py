"""Models by name and by file, including their downloads."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import segment_anything
import torch
from segment_anything.modeling import Sam
from torch import Tensor

from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.prediction.predictor_cache import PredictorCache
from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob
from napari_vrp_sam.models.base import EncodedReference
from napari_vrp_sam.models.lite.model import LiteModel
from napari_vrp_sam.models.sam.full_size_model import FullSizeModel
from napari_vrp_sam.models.sam.prompting import PROMPTINGS
from napari_vrp_sam.models.vrp.semantic_encoders import EfficientNetLite0, build_semantic_encoder
from napari_vrp_sam.models.vrp.vrp_encoder import VRPEncoder
from napari_vrp_sam.models.weights import catalogue
from napari_vrp_sam.models.weights.checkpoints import write_checkpoint
from napari_vrp_sam.models.weights.downloads import PublishedFile
from napari_vrp_sam.models.weights.model_spec import SEMANTIC_WEIGHTS, ModelSpec
from napari_vrp_sam.models.zoo import loading
from napari_vrp_sam.models.zoo.registry import (
    describe_prompting,
    list_models,
    load_model,
    model_spec,
)

MakeSam = Callable[..., Sam]


def pickled(state: dict[str, Tensor]) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


@pytest.fixture
def tiny(
    server: Any, cache: Path, make_tiny_sam: MakeSam, monkeypatch: pytest.MonkeyPatch
) -> ModelSpec:
    """Tiny full-size model, published by a local server."""
    torch.manual_seed(0)
    semantic = EfficientNetLite0()
    server.files = {
        "sam.pth": pickled(make_tiny_sam(seed=3).state_dict()),
        "semantic.pth": pickled(semantic.backbone.state_dict()),
    }

    def published(name: str) -> PublishedFile:
        digest = hashlib.sha256(server.files[name]).hexdigest()
        return PublishedFile(f"{server.url}/{name}", digest, "MIT", len(server.files[name]))

    spec = ModelSpec(
        "tiny", "For tests.", "tiny", "efficientnet_lite0", "MIT", published("sam.pth")
    )
    monkeypatch.setitem(segment_anything.sam_model_registry, "tiny", make_tiny_sam)
    monkeypatch.setattr(catalogue, "BUILT_IN", (*catalogue.BUILT_IN, spec))
    monkeypatch.setitem(SEMANTIC_WEIGHTS, "efficientnet_lite0", published("semantic.pth"))
    return spec


@pytest.fixture
def vrp_file(tmp_path: Path) -> Path:
    torch.manual_seed(4)
    encoder = VRPEncoder(152, 64, queries=6, heads=2)
    metadata = {"kind": "vrp-encoder", "sam": "tiny", "semantic_encoder": "efficientnet_lite0"}
    write_checkpoint(tmp_path / "mine.safetensors", encoder.state_dict(), metadata | {"heads": "2"})
    return tmp_path / "mine.safetensors"


def segment(model: FullSizeModel) -> Tensor:
    frame = torch.rand(1, 3, 40, 60, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(40, 60)
    mask[10:30, 10:40] = 1
    features = model.encode(frame)
    prepared = model.prepare([EncodedReference(features, mask, 1)])
    return model.decode(features, model.prompt(features, prepared))


def test_listing_models_does_not_import_torch() -> None:
    code = (
        "import sys\nfrom napari_vrp_sam.models.zoo.registry import list_models\n"
        "from napari_vrp_sam.models.zoo.registry import describe_prompting\n"
        "assert describe_prompting('vit_b') and describe_prompting('paper.pth')\n"
        "print([(s.name, s.ready) for s in list_models()], 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("[('lite', True)")
    assert done.stdout.endswith("False\n")


def test_every_download_is_described() -> None:
    names = [spec.name for spec in list_models()]
    assert names[:4] == ["lite", "vit_b", "vit_l", "vit_h"]
    for spec in list_models():
        assert spec.description
        assert spec.licence
        for file in spec.downloads:
            assert file.url.startswith("https://")
            assert file.licence
            # A complete digest, or the prefix that the file name contains.
            assert len(file.digest) >= 32 or file.digest in file.url


@pytest.mark.thorough
@torch.no_grad()
def test_weights_are_downloaded_once_and_loaded(
    tiny: ModelSpec, server: Any, cache: Path, make_tiny_sam: MakeSam
) -> None:
    assert not tiny.ready
    model = load_model("tiny")
    assert isinstance(model, FullSizeModel)
    assert tiny.ready
    visible = sorted(p.name for p in cache.iterdir() if not p.name.startswith("."))
    assert visible == ["sam.pth", "semantic.pth"]
    for name, tensor in make_tiny_sam(seed=3).state_dict().items():
        assert torch.equal(model.sam.state_dict()[name], tensor), name
    torch.testing.assert_close(segment(model), segment(load_model("tiny")))
    assert sorted(server.requests) == ["sam.pth", "semantic.pth"]


@pytest.mark.thorough
@torch.no_grad()
def test_vrp_encoder_by_option_and_by_path(tiny: ModelSpec, vrp_file: Path) -> None:
    by_weights = load_model("tiny", weights=vrp_file)
    by_file = load_model(vrp_file)
    assert isinstance(by_weights, FullSizeModel)
    assert by_file.name == "tiny"
    assert by_weights.vrp_encoder is not None
    assert by_weights.vrp_encoder.config["heads"] == 2
    assert not by_weights.vrp_encoder.training
    torch.testing.assert_close(segment(by_weights), segment(by_file))


@pytest.mark.thorough
@torch.no_grad()
def test_pseudo_mask_option(tiny: ModelSpec, vrp_file: Path) -> None:
    results = {}
    for kind in ("probe", "correlation"):
        for name in ("lite", "tiny", vrp_file):
            model: Any = load_model(name, pseudo_mask=kind)
            assert model.pseudo_mask == kind
        results[kind] = segment(model)
    torch.testing.assert_close(results["probe"], segment(load_model(vrp_file)))
    assert (results["probe"] - results["correlation"]).abs().max() > 1e-3
    for name in ("lite", "tiny"):
        with pytest.raises(InputError, match="Unknown pseudo-mask 'guess': use 'probe' or 'corr"):
            load_model(name, pseudo_mask="guess")


def test_prompting_option_and_description(tiny: ModelSpec, vrp_file: Path) -> None:
    for name in ("persam", "box"):
        model: Any = load_model("tiny", prompting=name)
        assert model.prompting == name
    loaded: Any = load_model(vrp_file)
    assert loaded.prompting == "vrp"
    assert describe_prompting(str(vrp_file)) == "SAM is prompted by the VRP encoder."
    note = describe_prompting("tiny")
    assert "no VRP encoder" in note
    assert PROMPTINGS["objects"] in note
    assert "Fine-tuning" in note
    assert PROMPTINGS["persam"] in describe_prompting("tiny", "persam")
    assert describe_prompting("paper.pth") == describe_prompting(str(vrp_file))
    for without in ("lite", "vit_x", "gone.safetensors"):
        assert describe_prompting(without) == ""
    with pytest.raises(InputError, match="'lite' has a fixed prompting"):
        load_model("lite", prompting="box")
    with pytest.raises(InputError, match="'tiny' has no VRP encoder"):
        load_model("tiny", prompting="vrp")


def test_download_progress_and_offline_mode(
    tiny: ModelSpec, server: Any, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VRP_SAM_OFFLINE", "1")
    with pytest.raises(InputError, match=r"semantic\.pth is not in .* forbids downloads"):
        load_model("tiny")
    assert server.requests == []
    monkeypatch.setenv("VRP_SAM_OFFLINE", "0")
    reported: list[str] = []
    load_model("tiny", progress=lambda done, total, name: reported.append(name))
    assert set(reported) == {"sam.pth", "semantic.pth"}


def test_predictor_cache_reports_downloads_and_separates_promptings(tiny: ModelSpec) -> None:
    mask = np.zeros((32, 32), bool)
    mask[8:20, 8:20] = True
    frame = np.zeros((32, 32, 1), np.uint8)
    reported: list[tuple[int, int, str]] = []
    job = SegmentationJob(
        frame[None, ..., 0], references=[Reference(frame, mask)], model="tiny", device="cpu"
    )
    predictors = PredictorCache()
    first: Any = predictors.predictor(job, lambda *report: reported.append(report))
    for name in ("semantic.pth", "sam.pth"):
        assert any(done == total and file == name for done, total, file in reported)
    assert predictors.predictor(job) is first
    other: Any = predictors.predictor(replace(job, prompting="persam"))
    assert (first.model.prompting, other.model.prompting) == ("objects", "persam")


def test_published_file_is_recognised_by_its_digest(
    tiny: ModelSpec, server: Any, tmp_path: Path
) -> None:
    (tmp_path / "copy").write_bytes(server.files["sam.pth"])
    assert catalogue.find_published(tmp_path / "copy") == tiny.sam_weights
    (tmp_path / "copy").write_bytes(b"something else")
    assert catalogue.find_published(tmp_path / "copy") is None


def test_failed_download_names_the_path_for_the_file(
    tiny: ModelSpec, server: Any, cache: Path
) -> None:
    del server.files["sam.pth"]
    with pytest.raises(InputError, match=r"404.*put the file at .*sam\.pth"):
        load_model("tiny")


def test_published_weights_of_wrong_architecture(
    tiny: ModelSpec, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = pickled(build_semantic_encoder("efficientnet_lite0").backbone.state_dict())
    server.files["sam.pth"] = state
    wrong = PublishedFile(f"{server.url}/sam.pth", hashlib.sha256(state).hexdigest(), "MIT")
    spec = ModelSpec("tiny", "For tests.", "tiny", "efficientnet_lite0", "MIT", wrong)
    monkeypatch.setattr(catalogue, "BUILT_IN", (spec,))
    with pytest.raises(InputError, match="does not hold weights of this model"):
        load_model("tiny")


def test_random_weights_need_no_download(tiny: ModelSpec, server: Any) -> None:
    model = load_model("tiny", weights="random")
    assert isinstance(model, FullSizeModel)
    assert model.vrp_encoder is not None
    assert isinstance(load_model("lite", weights="random"), LiteModel)
    assert server.requests == []


def test_architecture_of_vit_b() -> None:
    model = load_model("vit_b", weights="random", semantic_encoder="vgg16")
    assert isinstance(model, FullSizeModel)
    assert model.input_side == 1024
    assert model.semantic.channels == (256, 512, 512)
    assert sum(p.numel() for p in model.sam.parameters()) == pytest.approx(93.7e6, rel=0.01)
    assert {p.dtype for p in model.parameters()} == {torch.float32}


@pytest.mark.parametrize("name", ["vit_x", "Lite", ""])
def test_unknown_names(name: str) -> None:
    with pytest.raises(InputError, match="choose one of lite, vit_b, vit_l, vit_h"):
        load_model(name)
    with pytest.raises(InputError):
        model_spec(name)


def test_files_that_are_not_models(tmp_path: Path, vrp_file: Path, tiny: ModelSpec) -> None:
    with pytest.raises(InputError, match="no weights file"):
        load_model(tmp_path / "absent.safetensors")
    (tmp_path / "notes.txt").write_text("no model")
    with pytest.raises(InputError, match=r"notes\.txt"):
        load_model(tmp_path / "notes.txt")
    write_checkpoint(tmp_path / "x.safetensors", {"a": torch.zeros(1)}, {"kind": "probe"})
    with pytest.raises(InputError, match="unknown kind of model, 'probe'"):
        load_model(tmp_path / "x.safetensors")
    with pytest.raises(InputError, match="does not hold weights of 'lite'"):
        load_model("lite", weights=vrp_file)
    with pytest.raises(InputError, match="was trained with 'tiny'"):
        load_model("vit_b", weights=vrp_file)
    with pytest.raises(InputError, match="not both"):
        load_model(vrp_file, weights="random")
    with pytest.raises(InputError, match="has a fixed semantic encoder"):
        load_model("lite", semantic_encoder="vgg16")


def test_semantic_encoder_name_follows_from_width() -> None:
    from napari_vrp_sam.models.weights.checkpoints import Checkpoint

    assert loading.semantic_encoder_name(Checkpoint({}), 768) == "vgg16"
    assert loading.semantic_encoder_name(Checkpoint({}), 1536) == "resnet50"
    named = Checkpoint({}, {"semantic_encoder": "dinov2_b14"})
    assert loading.semantic_encoder_name(named, 1536) == "dinov2_b14"


def test_device_is_checked_before_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(InputError, match="no CUDA device"):
        load_model("vit_h", device="cuda")
