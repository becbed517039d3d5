"""Packages for the BioImage Model Zoo, and the checker of the zoo."""

from __future__ import annotations

import zipfile
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch
from bioimageio.core import test_model as run_checker
from bioimageio.spec import ValidationContext, load_model_description

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.segment import segment_stack
from napari_vrp_sam.io.samples import sample_stack
from napari_vrp_sam.models.zoo import user_models as store
from napari_vrp_sam.models.zoo.registry import load_model
from napari_vrp_sam.research.model_zoo.network import ReferencePrompted
from napari_vrp_sam.research.model_zoo.package import export_package

# bioimageio does not close its files.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
OFFLINE = ValidationContext(perform_io_checks=False, log_warnings=False)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Package of a user model."""
    folder = tmp_path_factory.mktemp("zoo")
    packaged = resources.files("napari_vrp_sam") / "models/weights/lite.safetensors"
    with pytest.MonkeyPatch.context() as patch, resources.as_file(packaged) as path:
        patch.setenv(store.MODELS_VARIABLE, str(folder / "models"))
        store.add(path, "mito EM")
        return export_package("mito EM", folder / "mito.zip")


@pytest.mark.slow
def test_the_package_passes_the_checker_of_the_zoo(package: Path) -> None:
    with OFFLINE:
        summary = run_checker(package, weight_format="pytorch_state_dict")
    assert summary.status == "passed", summary.format()
    names = [detail.name for detail in summary.details]
    assert any("Reproduce test outputs" in name for name in names)
    assert any("batch_size: 2 and size parameter n: 1" in name for name in names)


def test_contents_of_the_package(package: Path) -> None:
    with OFFLINE:
        description = load_model_description(package)
    assert description.name == "mito EM (napari-vrp-sam)"
    assert [str(tensor.id) for tensor in description.inputs] == ["target", "reference", "mask"]
    assert [str(tensor.id) for tensor in description.outputs] == ["probability"]
    with zipfile.ZipFile(package) as files:
        assert files.testzip() is None
        readme = files.read("README.md").decode()
        with files.open("weights.pt") as weights:
            state = torch.load(weights, weights_only=True)
        with files.open("probability.npy") as stored:
            probability = np.load(stored)
        with files.open("cover.png") as cover:
            assert cover.read(4) == b"\x89PNG"
    assert "mean iou: 0." in readme
    expected = load_model("lite").network.state_dict()
    assert {name.removeprefix("network.") for name in state} == expected.keys()
    assert all(torch.equal(state[f"network.{name}"], tensor) for name, tensor in expected.items())
    _, labels = sample_stack(size=128, frames=4)
    found, true = probability[0, 0] > 0.5, labels[3] == 1
    assert (found & true).sum() / (found | true).sum() > 0.4


@pytest.mark.slow
def test_the_network_equals_segment_stack() -> None:
    stack, labels = sample_stack(size=96, frames=3)
    expected = segment_stack(
        stack, labels[1], reference_frame=1, device="cpu", contrast_limits=(0, 255)
    )
    network = ReferencePrompted()
    network.network.load_state_dict(load_model("lite").network.state_dict())
    rgb = torch.from_numpy(np.repeat(stack[:, None] / np.float32(255), 3, axis=1))
    mask = torch.from_numpy((labels[1] == 1).astype(np.float32))[None, None]
    probability = network.eval()(rgb[2:], rgb[1:2], mask)
    assert probability.shape == (1, 1, 96, 96)
    np.testing.assert_array_equal(probability[0, 0].numpy() > 0.5, expected[2] == 1)
    empty = network(rgb[1:3], rgb[:2], torch.zeros(2, 1, 96, 96))
    assert empty.shape == (2, 1, 96, 96)
    assert not empty.any()


def test_models_that_cannot_be_packaged(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="only 'lite' and models based on it"):
        export_package("vit_b", tmp_path / "x.zip")
    with pytest.raises(InputError, match=r"written as \.zip"):
        export_package("lite", tmp_path / "x.tar")
    with pytest.raises(InputError, match="no model 'mito'"):
        export_package("mito", tmp_path / "x.zip")
    assert list(tmp_path.iterdir()) == []
