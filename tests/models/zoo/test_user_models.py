"""User models: names, copies, damaged files."""

from __future__ import annotations

import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest
import torch

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.models.vrp.vrp_encoder import VRPEncoder
from napari_vrp_sam.models.weights.catalogue import BUILT_IN
from napari_vrp_sam.models.weights.checkpoints import read_checkpoint, write_checkpoint
from napari_vrp_sam.models.zoo import user_models as zoo
from napari_vrp_sam.models.zoo.registry import (
    is_weights_path,
    list_models,
    load_model,
    model_spec,
)

CARD = {"base_model": "lite", "date": "2026-05-04T10:00:00+00:00", "metrics": '{"iou": 0.8}'}


@pytest.fixture
def lite_file(tmp_path: Path) -> Path:
    """Variant of `lite` as fine-tuning writes it."""
    with resources.as_file(
        resources.files("napari_vrp_sam") / "models/weights/lite.safetensors"
    ) as path:
        packaged = read_checkpoint(path)
    torch.manual_seed(0)
    tensors = {
        name: tensor + 0.01 * torch.randn_like(tensor) if tensor.is_floating_point() else tensor
        for name, tensor in packaged.tensors.items()
    }
    path = tmp_path / "From the lab.safetensors"
    write_checkpoint(path, tensors, {**packaged.metadata, **CARD})
    return path


def names() -> list[str]:
    return [model.name for model in zoo.list_user_models()]


def test_added_model_is_loaded_by_name(lite_file: Path, user_models: Path) -> None:
    assert zoo.list_user_models() == []
    added = zoo.add(lite_file)
    assert (added.name, added.path) == ("From the lab", user_models / "From the lab.safetensors")
    assert added.card["metrics"] == CARD["metrics"]
    assert added.path.read_bytes() == lite_file.read_bytes()
    assert [spec.name for spec in list_models()][len(BUILT_IN) :] == [added.name]
    spec = model_spec(added.name)
    assert spec.ready
    assert spec.downloads == ()
    assert spec.metadata()["base_model"] == "lite"
    assert spec.description == "User model based on lite, 2026-05-04."
    by_name, by_file, base = load_model(added.name), load_model(lite_file), load_model("lite")
    for name, tensor in by_name.network.state_dict().items():
        assert torch.equal(tensor, by_file.network.state_dict()[name])
    changed = by_name.network.neck.lateral[0].weight - base.network.neck.lateral[0].weight
    assert changed.abs().max() > 0.01
    with pytest.raises(InputError, match="or `weights`, not both"):
        load_model(added.name, weights="random")


def test_name_takes_precedence_over_file_of_that_name(
    lite_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zoo.add(lite_file, "mito")
    monkeypatch.chdir(tmp_path)
    Path("mito").write_text("no model")
    assert not is_weights_path("mito")
    assert load_model("mito").name == "lite"
    assert is_weights_path("somewhere/mito")


def test_export_and_add_preserve_every_byte(
    lite_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zoo.add(lite_file, "mito")
    exported = zoo.export("mito", tmp_path / "out" / "mito v1.2")
    assert exported == tmp_path / "out" / "mito v1.2.safetensors"
    assert zoo.export("mito", zoo.user_model("mito").path) == zoo.user_model("mito").path
    monkeypatch.setenv(zoo.MODELS_VARIABLE, str(tmp_path / "another machine"))
    assert names() == []
    assert zoo.add(exported).name == "mito v1.2"
    assert zoo.user_model("mito v1.2").path.read_bytes() == lite_file.read_bytes()


def test_rename_and_delete(lite_file: Path, user_models: Path) -> None:
    zoo.add(lite_file, "b")
    zoo.add(lite_file, "a")
    assert names() == ["a", "b"]
    assert zoo.rename("b", "B").name == "B"  # differs only in case
    assert names() == ["a", "B"]
    with pytest.raises(InputError, match="A user model 'B' already exists"):
        zoo.rename("a", "b")
    zoo.delete("a")
    assert names() == ["B"]
    assert [path.name for path in user_models.iterdir()] == ["B.safetensors"]
    for act in (zoo.delete, zoo.user_model, lambda name: zoo.rename(name, "c")):
        with pytest.raises(InputError, match="no user model 'a': choose one of B"):
            act("a")
        with pytest.raises(InputError, match="'lite' is a built-in model"):
            act("lite")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "is not a valid model name"),
        ("a/b", "is not a valid model name"),
        ("a\\b", "is not a valid model name"),
        ("a:b", "is not a valid model name"),
        ("a?", "is not a valid model name"),
        ("line\nbreak", "is not a valid model name"),
        ("..", "is not a valid model name"),
        (".hidden", "is not a valid model name"),
        ("-yes", "is not a valid model name"),
        ("dot.", "is not a valid model name"),
        ("space ", "is not a valid model name"),
        ("x" * 61, "up to 60"),
        ("NUL", "is reserved by Windows or ends in a file suffix"),
        ("com1.v2", "is reserved by Windows or ends in a file suffix"),
        ("mito.safetensors", "is reserved by Windows or ends in a file suffix"),
        ("Lite", "built-in model"),
        ("VIT_B", "built-in model"),
        ("MITO", "A user model 'Mito' already exists"),
        ("KU\u0308GEL", "A user model 'K\u00fcgel' already exists"),
    ],
)
def test_invalid_names(lite_file: Path, name: str, message: str) -> None:
    zoo.add(lite_file, "Mito")
    zoo.add(lite_file, "K\u00fcgel")
    with pytest.raises(InputError, match=message):
        zoo.new_model_path(name)
    assert names() == ["K\u00fcgel", "Mito"]


def test_path_of_a_new_model(user_models: Path) -> None:
    for name in ("mito", "Mito 2 (EM, no)".replace(",", ""), "ミトコンドリア", "3-D_a+b.v2"):
        assert zoo.new_model_path(name) == user_models / f"{name}.safetensors"
    assert not user_models.exists()


def test_damaged_and_foreign_files_are_listed_with_their_problem(
    lite_file: Path, user_models: Path, tmp_path: Path
) -> None:
    zoo.add(lite_file, "whole")
    whole = lite_file.read_bytes()
    (user_models / "cut.safetensors").write_bytes(whole[:-10])
    (user_models / "early.safetensors").write_bytes(whole[:200])
    (user_models / "empty.safetensors").write_bytes(b"")
    (user_models / "noise.safetensors").write_bytes(bytes(range(256)) * 4)
    write_checkpoint(user_models / "other.safetensors", {"a": torch.zeros(1)})
    write_checkpoint(user_models / "wrong.safetensors", {"a": torch.zeros(1)}, {"kind": "lite"})
    write_checkpoint(user_models / "new.safetensors", {"a": torch.zeros(1)}, {"kind": "vit_z"})
    (user_models / ".writing.safetensors").write_bytes(b"half")
    (user_models / "notes.txt").write_text("mine")
    problems = {model.name: model.problem for model in zoo.list_user_models()}
    assert problems.pop("whole") == ""
    expected = {
        "cut": "damaged",
        "early": "damaged",
        "empty": "damaged",
        "noise": "damaged",
        "other": "does not hold weights of a variant of 'vit_h'",
        "wrong": "does not hold weights of a variant of 'lite'",
        "new": "unknown kind of model, 'vit_z'",
    }
    assert problems.keys() == expected.keys()
    for name, words in expected.items():
        assert words in problems[name]
        with pytest.raises(InputError, match=words):
            model_spec(name)
        with pytest.raises(InputError, match=words):
            zoo.add(user_models / f"{name}.safetensors", "another name")
        with pytest.raises(InputError, match=words):
            zoo.export(name, tmp_path / "x.safetensors")
    assert [spec.name for spec in list_models()][len(BUILT_IN) :] == ["whole"]
    for name in expected:
        zoo.delete(name)
    assert names() == ["whole"]


def test_vrp_encoder_of_original_code_is_converted(tmp_path: Path) -> None:
    torch.manual_seed(0)
    encoder = VRPEncoder(768, 64, queries=6)
    torch.save({"state_dict": encoder.state_dict()}, tmp_path / "paper.pth")
    added = zoo.add(tmp_path / "paper.pth", "paper")
    assert added.problem == ""
    spec = model_spec("paper")
    assert (spec.image_encoder, spec.semantic_encoder) == ("vit_h", "vgg16")
    tensors = read_checkpoint(added.path).tensors
    assert all(torch.equal(tensors[name], t) for name, t in encoder.state_dict().items())
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(InputError, match="holds neither a VRP encoder nor"):
        zoo.add(tmp_path / "other.pth", "other")
    with pytest.raises(InputError, match="no weights file"):
        zoo.add(tmp_path / "none.safetensors", "none")


def test_folder_that_is_a_file(lite_file: Path, user_models: Path) -> None:
    user_models.write_text("a file instead of the folder")
    assert zoo.list_user_models() == []
    with pytest.raises(InputError, match="cannot be written"):
        zoo.add(lite_file)


def test_full_disk(lite_file: Path, user_models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def copyfile(source: Path, target: Path) -> None:
        target.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", copyfile)
    with pytest.raises(InputError, match="No space left on device"):
        zoo.add(lite_file)
    assert list(user_models.iterdir()) == []


def test_folder_is_not_part_of_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    from napari_vrp_sam.models.weights.downloads import cache_folder

    monkeypatch.delenv(zoo.MODELS_VARIABLE)
    monkeypatch.delenv("VRP_SAM_CACHE", raising=False)
    assert cache_folder() not in [zoo.models_folder(), *zoo.models_folder().parents]


def test_listing_does_not_import_torch(lite_file: Path) -> None:
    zoo.add(lite_file, "mito")
    code = (
        "import sys\nfrom napari_vrp_sam.models.zoo.user_models import list_user_models\n"
        "print([m.name for m in list_user_models()], 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "['mito'] False\n"
