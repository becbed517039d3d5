"""The user's own models: names, copies, damage."""

from __future__ import annotations

import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest
import torch

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.models.vrp.vrp_encoder import VRPEncoder
from napari_vrp_sam.models.weights.checkpoints import read_checkpoint, write_checkpoint
from napari_vrp_sam.models.zoo import user_models as store
from napari_vrp_sam.models.zoo.registry import (
    list_models,
    load_model,
    looks_like_a_path,
    model_spec,
)

CARD = {"base_model": "lite", "date": "2026-05-04T10:00:00+00:00", "metrics": '{"iou": 0.8}'}


@pytest.fixture
def lite_file(tmp_path: Path) -> Path:
    """A variant of `lite` as fine-tuning writes it."""
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
    return [model.name for model in store.list_user_models()]


def test_a_model_is_added_found_by_name_and_the_same_in_use(
    lite_file: Path, user_models: Path
) -> None:
    assert store.list_user_models() == []
    own = store.add(lite_file)
    assert (own.name, own.path) == ("From the lab", user_models / "From the lab.safetensors")
    assert own.card["metrics"] == CARD["metrics"]
    assert own.path.read_bytes() == lite_file.read_bytes()
    assert [spec.name for spec in list_models()] == ["lite", "vit_b", "vit_l", "vit_h", own.name]
    spec = model_spec(own.name)
    assert spec.ready
    assert spec.downloads == ()
    assert spec.metadata()["base_model"] == "lite"
    assert spec.description == "Your own, made from lite, 2026-05-04."
    by_name, by_file, base = load_model(own.name), load_model(lite_file), load_model("lite")
    for name, tensor in by_name.network.state_dict().items():
        assert torch.equal(tensor, by_file.network.state_dict()[name])
    changed = by_name.network.neck.lateral[0].weight - base.network.neck.lateral[0].weight
    assert changed.abs().max() > 0.01
    with pytest.raises(InputError, match="or `weights`, not both"):
        load_model(own.name, weights="random")


def test_a_name_counts_before_a_file_of_that_name(
    lite_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add(lite_file, "mito")
    monkeypatch.chdir(tmp_path)
    Path("mito").write_text("no model")
    assert not looks_like_a_path("mito")
    assert load_model("mito").name == "lite"
    assert looks_like_a_path("somewhere/mito")


def test_export_and_add_elsewhere_keep_every_byte(
    lite_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add(lite_file, "mito")
    exported = store.export("mito", tmp_path / "out" / "mito v1.2")
    assert exported == tmp_path / "out" / "mito v1.2.safetensors"
    assert store.export("mito", store.user_model("mito").path) == store.user_model("mito").path
    monkeypatch.setenv(store.MODELS_VARIABLE, str(tmp_path / "another machine"))
    assert names() == []
    assert store.add(exported).name == "mito v1.2"
    assert store.user_model("mito v1.2").path.read_bytes() == lite_file.read_bytes()


def test_rename_and_delete(lite_file: Path, user_models: Path) -> None:
    store.add(lite_file, "b")
    store.add(lite_file, "a")
    assert names() == ["a", "b"]
    assert store.rename("b", "B").name == "B"  # differs from its own old name alone
    assert names() == ["a", "B"]
    with pytest.raises(InputError, match="You have a model 'B' already"):
        store.rename("a", "b")
    store.delete("a")
    assert names() == ["B"]
    assert [path.name for path in user_models.iterdir()] == ["B.safetensors"]
    for act in (store.delete, store.user_model, lambda name: store.rename(name, "c")):
        with pytest.raises(InputError, match="no model of your own called 'a': choose one of B"):
            act("a")
        with pytest.raises(InputError, match="'lite' is built in"):
            act("lite")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "is no name for a model"),
        ("a/b", "is no name for a model"),
        ("a\\b", "is no name for a model"),
        ("a:b", "is no name for a model"),
        ("a?", "is no name for a model"),
        ("line\nbreak", "is no name for a model"),
        ("..", "is no name for a model"),
        (".hidden", "is no name for a model"),
        ("-yes", "is no name for a model"),
        ("dot.", "is no name for a model"),
        ("space ", "is no name for a model"),
        ("x" * 61, "up to 60"),
        ("NUL", "need it themselves"),
        ("com1.v2", "need it themselves"),
        ("mito.safetensors", "need it themselves"),
        ("Lite", "built-in model"),
        ("VIT_B", "built-in model"),
        ("MITO", "You have a model 'Mito' already"),
        ("KU\u0308GEL", "You have a model 'K\u00fcgel' already"),
    ],
)
def test_names_that_do_not_do(lite_file: Path, name: str, said: str) -> None:
    store.add(lite_file, "Mito")
    store.add(lite_file, "K\u00fcgel")
    with pytest.raises(InputError, match=said):
        store.path_for(name)
    assert names() == ["K\u00fcgel", "Mito"]


def test_a_new_name_has_a_place_and_nothing_is_written(user_models: Path) -> None:
    for name in ("mito", "Mito 2 (EM, no)".replace(",", ""), "ミトコンドリア", "3-D_a+b.v2"):
        assert store.path_for(name) == user_models / f"{name}.safetensors"
    assert not user_models.exists()


def test_damaged_and_foreign_files_are_listed_with_their_reason(
    lite_file: Path, user_models: Path, tmp_path: Path
) -> None:
    store.add(lite_file, "whole")
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
    problems = {model.name: model.problem for model in store.list_user_models()}
    assert problems.pop("whole") == ""
    said = {
        "cut": "not all of it",
        "early": "damaged",
        "empty": "damaged",
        "noise": "damaged",
        "other": "does not hold weights of a variant of 'vit_h'",
        "wrong": "does not hold weights of a variant of 'lite'",
        "new": "holds a 'vit_z'",
    }
    assert problems.keys() == said.keys()
    for name, words in said.items():
        assert words in problems[name]
        with pytest.raises(InputError, match=words):
            model_spec(name)
        with pytest.raises(InputError, match=words):
            store.add(user_models / f"{name}.safetensors", "taken over")
        with pytest.raises(InputError, match=words):
            store.export(name, tmp_path / "x.safetensors")
    assert [spec.name for spec in list_models()][4:] == ["whole"]
    for name in said:
        store.delete(name)
    assert names() == ["whole"]


def test_a_vrp_encoder_of_the_papers_code_is_converted(tmp_path: Path) -> None:
    torch.manual_seed(0)
    encoder = VRPEncoder(768, 64, queries=6)
    torch.save({"state_dict": encoder.state_dict()}, tmp_path / "paper.pth")
    own = store.add(tmp_path / "paper.pth", "paper")
    assert own.problem == ""
    spec = model_spec("paper")
    assert (spec.image_encoder, spec.semantic_encoder) == ("vit_h", "vgg16")
    tensors = read_checkpoint(own.path).tensors
    assert all(torch.equal(tensors[name], t) for name, t in encoder.state_dict().items())
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(InputError, match="holds no VRP encoder"):
        store.add(tmp_path / "other.pth", "other")
    with pytest.raises(InputError, match="no weights file"):
        store.add(tmp_path / "none.safetensors", "none")


def test_a_folder_that_cannot_be_made(lite_file: Path, user_models: Path) -> None:
    user_models.write_text("a file where the folder belongs")
    assert store.list_user_models() == []
    with pytest.raises(InputError, match="Cannot write"):
        store.add(lite_file)


def test_no_room(lite_file: Path, user_models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def copyfile(source: Path, target: Path) -> None:
        target.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", copyfile)
    with pytest.raises(InputError, match="No space left on device"):
        store.add(lite_file)
    assert list(user_models.iterdir()) == []


def test_the_folder_survives_cleaning_of_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    from napari_vrp_sam.models.weights.downloads import cache_folder

    monkeypatch.delenv(store.MODELS_VARIABLE)
    monkeypatch.delenv("VRP_SAM_CACHE", raising=False)
    assert cache_folder() not in [store.models_folder(), *store.models_folder().parents]


def test_listing_needs_no_torch(lite_file: Path) -> None:
    store.add(lite_file, "mito")
    code = (
        "import sys\nfrom napari_vrp_sam.models.zoo.user_models import list_own\n"
        "print([m.name for m in list_own()], 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "['mito'] False\n"
