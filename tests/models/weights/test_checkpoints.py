"""Checkpoints: round trips, names of the original code, and damaged files."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.models.vrp.vrp_encoder import VRPEncoder
from napari_vrp_sam.models.weights.checkpoints import (
    ORIGINAL_NAMES,
    convert_original_names,
    load_tensors,
    read_checkpoint,
    write_checkpoint,
)
from napari_vrp_sam.models.weights.downloads import file_sha256


@pytest.fixture
def tensors() -> dict[str, Tensor]:
    return {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(1, dtype=torch.int64)}


def original_state(encoder: VRPEncoder, prefix: str) -> dict[str, Tensor]:
    """State dict of the encoder under the names of the original code."""
    state = {}
    for name, tensor in encoder.state_dict().items():
        theirs, ours = next((t, o) for t, o in ORIGINAL_NAMES.items() if name.startswith(o))
        state[prefix + theirs + name.removeprefix(ours)] = tensor
    return state


def test_safetensors_round_trip(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    path = tmp_path / "new" / "model.safetensors"
    write_checkpoint(path, tensors, {"kind": "test"})
    checkpoint = read_checkpoint(path, sha256=file_sha256(path))
    assert checkpoint.metadata == {"kind": "test"}
    assert checkpoint.tensors.keys() == tensors.keys()
    assert all(torch.equal(checkpoint.tensors[n], t) for n, t in tensors.items())
    assert [p.name for p in path.parent.iterdir()] == ["model.safetensors"]


def test_tensors_that_share_memory_are_written(tmp_path: Path) -> None:
    shared = torch.arange(4.0)
    write_checkpoint(tmp_path / "m.safetensors", {"x": shared, "y": shared.view(2, 2)})
    loaded = read_checkpoint(tmp_path / "m.safetensors").tensors
    assert loaded["x"].tolist() == [0, 1, 2, 3]
    assert loaded["y"].tolist() == [[0, 1], [2, 3]]


def test_failed_write_leaves_previous_file(
    tmp_path: Path, tensors: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.safetensors"
    write_checkpoint(path, tensors)
    before = path.read_bytes()

    def full(self: Path, data: bytes) -> int:
        with self.open("wb") as stream:
            stream.write(data[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(InputError, match="No space left on device"):
        write_checkpoint(path, {"a": torch.zeros(1000)})
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]


def test_write_refuses_other_suffixes(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    with pytest.raises(InputError, match="safetensors"):
        write_checkpoint(tmp_path / "model.pth", tensors)


@pytest.mark.parametrize("wrap", [None, "state_dict", "model"])
def test_pytorch_files(tmp_path: Path, tensors: dict[str, Tensor], wrap: str | None) -> None:
    torch.save({wrap: tensors, "epoch": 3} if wrap else tensors, tmp_path / "m.pth")
    loaded = read_checkpoint(tmp_path / "m.pth")
    assert loaded.metadata == {}
    assert loaded.tensors.keys() == tensors.keys()


class Attack:
    """Object whose unpickling creates a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.mark,)


def test_pickle_with_code_is_refused_and_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    torch.save({"a": Attack(mark)}, tmp_path / "evil.pth")
    (tmp_path / "raw.pth").write_bytes(pickle.dumps(Attack(mark), protocol=2))
    for name in ("evil.pth", "raw.pth"):
        with pytest.raises(InputError, match="holds only tensors"):
            read_checkpoint(tmp_path / name)
    assert not mark.exists()


@pytest.mark.parametrize("name", ["m.safetensors", "m.pth"])
@pytest.mark.parametrize("content", [b"", b"not a checkpoint at all", b"\xff" * 200])
def test_files_that_are_not_checkpoints(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match="damaged"):
        read_checkpoint(tmp_path / name)


@pytest.mark.parametrize("keep", [0.2, 0.9])
def test_truncated_files(tmp_path: Path, tensors: dict[str, Tensor], keep: float) -> None:
    write_checkpoint(tmp_path / "m.safetensors", tensors)
    torch.save(tensors, tmp_path / "m.pth")
    for name in ("m.safetensors", "m.pth"):
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: int(keep * len(whole))])
        with pytest.raises(InputError, match="damaged"):
            read_checkpoint(tmp_path / name)


@pytest.mark.parametrize("name", ["m.safetensors", "m.pth"])
def test_a_file_that_is_cut_at_any_of_its_blocks(tmp_path: Path, name: str) -> None:
    tensors = {f"layer.{n}.weight": torch.full((64, 40), float(n)) for n in range(12)}
    path = tmp_path / name
    if name.endswith("pth"):
        torch.save(tensors, path)
    else:
        write_checkpoint(path, tensors)
    whole = path.read_bytes()
    for size in range(0, len(whole), 4096):
        path.write_bytes(whole[:size])
        with pytest.raises(InputError, match="damaged"):
            read_checkpoint(path)


def test_digest_detects_a_changed_byte(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    path = tmp_path / "m.safetensors"
    write_checkpoint(path, tensors)
    digest = file_sha256(path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    read_checkpoint(path)
    with pytest.raises(InputError, match="sha256 differs"):
        read_checkpoint(path, sha256=digest)


def test_missing_file_folder_and_wrong_suffix(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no weights file"):
        read_checkpoint(tmp_path / "none.safetensors")
    with pytest.raises(InputError, match="no weights file"):
        read_checkpoint(tmp_path)
    (tmp_path / "image.tif").touch()
    with pytest.raises(InputError, match=r"'image\.tif' is not a weights file"):
        read_checkpoint(tmp_path / "image.tif")


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}, {}])
def test_pytorch_file_without_tensors(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "m.pth")
    with pytest.raises(InputError, match="holds no tensors"):
        read_checkpoint(tmp_path / "m.pth")


@pytest.mark.parametrize("change", ["missing", "unexpected", "shape"])
def test_load_tensors_requires_exact_names_and_shapes(change: str) -> None:
    module = nn.Linear(3, 2)
    state = dict(module.state_dict())
    if change == "missing":
        del state["bias"]
    elif change == "unexpected":
        state["extra"] = torch.zeros(1)
    else:
        state["weight"] = torch.zeros(2, 4)
    with pytest.raises(InputError, match=r"^file\.pth does not hold .*: 1 tensors"):
        load_tensors(module, state, source="file.pth")


@pytest.mark.parametrize("prefix", ["", "module.", "module.vrp_encoder.", "model.VRP_encoder."])
def test_checkpoint_of_original_code_with_any_prefix(tmp_path: Path, prefix: str) -> None:
    torch.manual_seed(0)
    encoder = VRPEncoder(24, 32, queries=5)
    state = original_state(encoder, prefix)
    assert len(state) == 27
    # Files of the original code hold the frozen backbone too.
    state |= {
        f"{prefix}layer0.0.weight": torch.zeros(2),
        f"{prefix}layer1.0.conv1.weight": torch.zeros(2),
    }
    torch.save({"state_dict": state}, tmp_path / "theirs.pth")

    loaded = VRPEncoder.from_checkpoint(read_checkpoint(tmp_path / "theirs.pth"), source="theirs")

    assert loaded.config == encoder.config
    for name, tensor in encoder.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name


def test_checkpoint_stores_number_of_heads(tmp_path: Path) -> None:
    encoder = VRPEncoder(24, 32, queries=5, heads=2)
    metadata = {key: str(value) for key, value in encoder.config.items()}
    write_checkpoint(tmp_path / "ours.safetensors", encoder.state_dict(), metadata)
    checkpoint = read_checkpoint(tmp_path / "ours.safetensors")
    assert VRPEncoder.from_checkpoint(checkpoint, source="ours").config["heads"] == 2


def test_checkpoint_without_a_complete_vrp_encoder(tmp_path: Path) -> None:
    torch.save({"conv.weight": torch.zeros(2)}, tmp_path / "m.pth")
    with pytest.raises(InputError, match="holds neither a VRP encoder nor"):
        VRPEncoder.from_checkpoint(read_checkpoint(tmp_path / "m.pth"), source="m.pth")

    state = original_state(VRPEncoder(24, 32), "")
    del state["merge_1.0.weight"]
    torch.save(state, tmp_path / "m.pth")
    with pytest.raises(InputError, match="1 tensors are missing"):
        VRPEncoder.from_checkpoint(read_checkpoint(tmp_path / "m.pth"), source="m.pth")


def test_name_components_are_matched_exactly() -> None:
    assert (
        convert_original_names(
            {"unmerge_1.0.weight": torch.zeros(1), "merge_10.0.weight": torch.zeros(1)}
        )
        == {}
    )
