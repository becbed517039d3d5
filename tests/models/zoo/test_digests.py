"""Models are recognised by their weights, and missing ones are named."""

from __future__ import annotations

import hashlib
from importlib import resources
from pathlib import Path

import pytest

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.models.zoo.digests import weights_digest
from napari_vrp_sam.models.zoo.registry import (
    describe_prompting,
    missing_model_message,
    model_spec,
    offered_promptings,
)


def test_weights_of_all_kinds_of_models_are_identified(tmp_path: Path) -> None:
    packaged = resources.files("napari_vrp_sam") / "models/weights/lite.safetensors"
    content = packaged.read_bytes()
    assert weights_digest("lite") == hashlib.sha256(content).hexdigest()
    assert model_spec("vit_b").sam_weights is not None
    assert weights_digest("vit_b") == model_spec("vit_b").sam_weights.digest
    assert weights_digest("dinov2_s") == model_spec("dinov2_s").backbone_weights.url
    assert weights_digest("dinov2_s") != weights_digest("dinov3_s")
    own = tmp_path / "own.safetensors"
    own.write_bytes(b"weights")
    assert weights_digest(own) == hashlib.sha256(b"weights").hexdigest()
    own.write_bytes(b"others")
    assert weights_digest(str(own)) == hashlib.sha256(b"others").hexdigest()


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.pth"):
        weights_digest(tmp_path / "gone.pth")
    with pytest.raises(InputError, match="no_such_model"):
        weights_digest("no_such_model")


def test_the_model_of_a_session_may_be_missing(tmp_path: Path) -> None:
    own = tmp_path / "own.safetensors"
    assert "is no longer at" in missing_model_message(str(own))
    own.write_bytes(b"weights")
    assert missing_model_message(str(own)) == ""
    assert missing_model_message("lite") == ""
    assert "'no_such_model' does not exist" in missing_model_message("no_such_model")
    assert len(missing_model_message("a/" + "x" * 5000 + ".pth")) < 500
    assert len(missing_model_message("x" * 5000)) < 500


def test_a_missing_model_offers_no_prompting() -> None:
    assert describe_prompting("no_such_model") == ""
    assert offered_promptings("no_such_model") == ()
    assert offered_promptings("lite") == ()
    assert "vrp" not in offered_promptings("vit_b")
