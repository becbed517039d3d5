"""Session folders are read as they were written, and are complete or absent."""

from __future__ import annotations

import errno
import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_vrp_sam import files
from napari_vrp_sam.annotations.reference import ANNOTATION_KINDS, Reference
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.sessions import layers as stored_layers
from napari_vrp_sam.io.sessions.image import MissingImageError, SessionImage, open_image
from napari_vrp_sam.io.sessions.layers import DrawnPlanes, StoredLayer, StoredResult
from napari_vrp_sam.io.sessions.references import StoredReference
from napari_vrp_sam.io.sessions.session import (
    Session,
    SessionClass,
    Settings,
    read_session,
    session_folder,
    write_session,
)

SHAPE = (5, 20, 24)
MASKS = hnp.arrays(np.float32, SHAPE[1:], elements=st.floats(0, 1, width=32)) | hnp.arrays(
    np.bool_, SHAPE[1:]
)
REFERENCES = st.builds(
    StoredReference,
    mask=MASKS.map(lambda mask: mask.astype(np.float32)),
    class_id=st.integers(1, 300),
    kind=st.sampled_from(ANNOTATION_KINDS),
    frame=st.integers(0, SHAPE[0] - 1),
    ignored=st.none() | hnp.arrays(np.bool_, SHAPE[1:]),
    negative=st.none() | hnp.arrays(np.bool_, SHAPE[1:]),
)
COORDINATES = st.floats(-1e6, 1e6)
LABELS = hnp.arrays(
    st.sampled_from([np.uint8, np.int32, np.int64, np.bool_]),
    hnp.array_shapes(min_dims=2, max_dims=4, max_side=5),
)
LAYERS = st.one_of(
    st.builds(
        lambda data, name: StoredLayer("labels", DrawnPlanes.of(data), {"name": name}),
        LABELS,
        st.text(),
    ),
    st.builds(
        lambda data, name: StoredLayer("points", data, {"name": name, "ndim": 3}),
        hnp.arrays(float, st.tuples(st.integers(0, 6), st.just(3)), elements=COORDINATES),
        st.text(),
    ),
    st.builds(
        lambda data, name: StoredLayer("shapes", data, {"name": name, "ndim": 3}),
        st.lists(hnp.arrays(float, st.tuples(st.integers(2, 6), st.just(3)), elements=COORDINATES)),
        st.text(),
    ),
)

SETTINGS = Settings(
    model="vit_b",
    device="cpu",
    frames=(1, None),
    channels=(0,),
    contrast_limits=(3.5, 99.25),
    pseudo_mask="correlation",
    tile_size=512,
    point_radius=4.5,
    frame_in_view=3,
)


@pytest.fixture
def stack() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 200, SHAPE, dtype=np.uint8)


@pytest.fixture
def image() -> SessionImage:
    return SessionImage("stack", SHAPE, "|u1", "ZYX", attributes={"scale": [2.0, 0.5, 0.5]})


def dense(data: Any) -> list[np.ndarray]:
    return [data.dense()] if isinstance(data, DrawnPlanes) else list(data)


@settings(max_examples=25, deadline=None)
@given(st.lists(REFERENCES, max_size=3), st.lists(LAYERS, max_size=3))
def test_references_and_layers_are_read_as_they_were_written(
    references: list[StoredReference], layers: list[StoredLayer]
) -> None:
    stack = np.zeros(SHAPE, np.uint8)
    image = SessionImage("stack", SHAPE, "|u1", "ZYX")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.vrpsam"
        write_session(path, Session(image, references=references, layers=layers), stack)
        back = read_session(path)
    for reference, before in zip(back.references, references, strict=True):
        np.testing.assert_array_equal(reference.mask, before.mask)
        assert reference.mask.dtype == np.float32
        assert (reference.class_id, reference.kind) == (before.class_id, before.kind)
        assert reference.frame == before.frame
        for name in ("ignored", "negative"):
            written = getattr(before, name)
            if written is None:
                assert getattr(reference, name) is None
            else:
                np.testing.assert_array_equal(getattr(reference, name), written)
    for layer, drawn in zip(back.layers, layers, strict=True):
        assert (layer.kind, layer.attributes) == (drawn.kind, drawn.attributes)
        assert len(dense(layer.data)) == len(dense(drawn.data))
        for one, other in zip(dense(layer.data), dense(drawn.data), strict=True):
            np.testing.assert_array_equal(one, other)
            assert one.dtype == other.dtype


def test_all_else_is_read_as_written(
    tmp_path: Path, stack: np.ndarray, image: SessionImage
) -> None:
    labels = np.zeros(SHAPE, np.int64)
    labels[2, 3:8, 4:9] = 300
    session = Session(
        image,
        settings=SETTINGS,
        obstacle="Nothing is drawn.",
        accepted={2: labels[2], 4: labels[4]},
        classes=[SessionClass(1, "nucleus", "#ff8000"), SessionClass(300, "", "#000000")],
        result=StoredResult(labels, "ZYX", {"notes": {"confidence": {2: 0.5, 4: float("inf")}}}),
    )
    write_session(tmp_path / "a.vrpsam", session, stack)
    back = read_session(tmp_path / "a.vrpsam")
    assert back.settings == session.settings
    assert (back.obstacle, list(back.classes)) == (session.obstacle, session.classes)
    assert back.accepted.keys() == {2, 4}
    np.testing.assert_array_equal(back.accepted[2], labels[2])
    assert back.result is not None
    assert session.result is not None
    np.testing.assert_array_equal(back.result.labels, labels)
    assert back.result.labels.dtype == np.int64
    assert back.result.attributes == session.result.attributes
    assert (back.image.shape, back.image.axes) == (SHAPE, "ZYX")
    assert back.image.attributes == image.attributes


def test_a_reference_gets_its_image_from_the_stack(stack: np.ndarray) -> None:
    mask = (stack[1] > 100).astype(np.float32)
    reference = StoredReference.of(Reference(stack[1], mask, 2, "box", 1)).on(stack[1])
    assert (reference.class_id, reference.kind, reference.frame) == (2, "box", 1)
    np.testing.assert_array_equal(reference.image[..., 0], stack[1])


def test_an_image_with_a_file_is_not_copied(
    tmp_path: Path, stack: np.ndarray, image: SessionImage
) -> None:
    tifffile.imwrite(tmp_path / "stack.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    folder = tmp_path / "a.vrpsam"
    write_session(folder, Session(replace(image, source=tmp_path / "stack.tif")), stack)
    assert not (folder / "image.zarr").exists()
    # Session and image are moved together.
    (tmp_path / "away").mkdir()
    for name in ("stack.tif", "a.vrpsam"):
        (tmp_path / name).rename(tmp_path / "away" / name)
    session = read_session(tmp_path / "away/a.vrpsam")
    np.testing.assert_array_equal(open_image(tmp_path / "away/a.vrpsam", session.image), stack)
    (tmp_path / "away/stack.tif").rename(tmp_path / "elsewhere.tif")
    session = read_session(tmp_path / "away/a.vrpsam")
    with pytest.raises(MissingImageError, match=r"a\.vrpsam is no longer at .*move it back"):
        open_image(folder, session.image)
    with pytest.raises(MissingImageError):
        open_image(folder, session.image, tmp_path / ("x" * 300))
    data = open_image(folder, session.image, tmp_path / "elsewhere.tif")
    np.testing.assert_array_equal(data, stack)


def test_another_image_is_refused(tmp_path: Path, stack: np.ndarray, image: SessionImage) -> None:
    folder = tmp_path / "a.vrpsam"
    write_session(folder, Session(image), stack)
    other = stack.copy()
    other[2, 5, 5] += 1
    for wrong in (other, stack[:4], stack.astype(np.uint16)):
        tifffile.imwrite(tmp_path / "other.tif", wrong, imagej=True, metadata={"axes": "ZYX"})
        with pytest.raises(InputError, match="not the image that was annotated"):
            open_image(folder, read_session(folder).image, tmp_path / "other.tif")


@pytest.mark.parametrize("axes", ["ZYX", "TCYX", "YXS", "CZYX"])
def test_an_image_without_a_file_is_copied(tmp_path: Path, axes: str) -> None:
    shape = tuple({"T": 3, "Z": 4, "C": 2, "Y": 17, "X": 19, "S": 3}[axis] for axis in axes)
    stack = np.random.default_rng(0).integers(0, 60_000, shape).astype(">u2")
    image = SessionImage("stack", shape, stack.dtype.str, axes)
    counts: list[tuple[int, int]] = []
    written = write_session(
        tmp_path / "a.vrpsam", Session(image), stack, lambda *count: counts.append(count)
    )
    assert written.image.source is None
    frames = int(np.prod([size for size, axis in zip(shape, axes, strict=True) if axis in "TZ"]))
    assert counts == [(done, frames) for done in range(1, frames + 1)]
    data = open_image(tmp_path / "a.vrpsam", read_session(tmp_path / "a.vrpsam").image)
    np.testing.assert_array_equal(data, stack)


def test_later_sessions_share_the_copy_of_an_image(
    tmp_path: Path, stack: np.ndarray, image: SessionImage
) -> None:
    first, second = tmp_path / "a.vrpsam", tmp_path / "b.vrpsam"
    write_session(first, Session(image), stack)
    data = open_image(first, read_session(first).image)
    again = Session(replace(image, source=first / "image.zarr"))
    counts: list[tuple[int, int]] = []
    for folder in (first, second):
        write_session(folder, again, data, lambda *count: counts.append(count))
    shutil.rmtree(first)
    np.testing.assert_array_equal(open_image(second, read_session(second).image), stack)
    assert counts == []


def test_an_image_that_differs_from_its_file_is_copied(
    tmp_path: Path, stack: np.ndarray, image: SessionImage
) -> None:
    tifffile.imwrite(tmp_path / "stack.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    inverted = 255 - stack
    record = replace(image, source=tmp_path / "stack.tif")
    assert write_session(tmp_path / "a.vrpsam", Session(record), inverted).image.source is None
    data = open_image(tmp_path / "a.vrpsam", read_session(tmp_path / "a.vrpsam").image)
    np.testing.assert_array_equal(data, inverted)


def test_axes_of_length_one_do_not_matter(tmp_path: Path, stack: np.ndarray) -> None:
    tifffile.imwrite(tmp_path / "stack.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    image = SessionImage(
        "stack", (1, *SHAPE), "|u1", "TZYX", source=tmp_path / "stack.tif"
    )  # from another reader
    write_session(tmp_path / "a.vrpsam", Session(image), stack[None])
    assert not (tmp_path / "a.vrpsam/image.zarr").exists()
    data = open_image(tmp_path / "a.vrpsam", read_session(tmp_path / "a.vrpsam").image)
    np.testing.assert_array_equal(data, stack[None])


def disk_full(*_args: Any, **_options: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("module", "write"), [(stored_layers.tifffile, "imwrite"), (files.os, "link")]
)
def test_a_full_disk_keeps_the_previous_session(
    tmp_path: Path,
    stack: np.ndarray,
    image: SessionImage,
    monkeypatch: pytest.MonkeyPatch,
    module: Any,
    write: str,
) -> None:
    folder = tmp_path / "a.vrpsam"
    write_session(folder, Session(image, obstacle="old"), stack)
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setattr(module, write, disk_full)
    monkeypatch.setattr(shutil, "copy2", disk_full)
    monkeypatch.setattr(shutil, "copyfile", disk_full)
    labels = np.ones(SHAPE, np.uint8)
    new = Session(
        replace(image, source=folder / "image.zarr"), result=StoredResult(labels, "ZYX", {})
    )
    with pytest.raises(InputError, match=r"a\.vrpsam cannot be written: .*No space left"):
        write_session(folder, new, stack)
    assert sorted(tmp_path.rglob("*")) == before
    assert read_session(folder).obstacle == "old"


def test_a_limit_on_file_sizes_leaves_no_files(tmp_path: Path, image: SessionImage) -> None:
    resource = pytest.importorskip("resource")
    noise = np.random.default_rng(0).integers(0, 255, (4, 128, 128), dtype=np.uint8)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(InputError, match="cannot be written"):
            write_session(tmp_path / "a.vrpsam", Session(replace(image, shape=noise.shape)), noise)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


def test_an_exception_from_progress_cancels_the_write(
    tmp_path: Path, stack: np.ndarray, image: SessionImage
) -> None:
    def stop(done: int, _total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_session(tmp_path / "a.vrpsam", Session(image), stack, stop)
    assert list(tmp_path.iterdir()) == []


def test_only_sessions_are_replaced_and_files_of_the_user_are_kept(
    tmp_path: Path, stack: np.ndarray, image: SessionImage
) -> None:
    folder = tmp_path / "a.vrpsam"
    (folder / "plots").mkdir(parents=True)
    (folder / "plots/mine.txt").write_text("mine")
    with pytest.raises(InputError, match="not a session: choose another name"):
        write_session(folder, Session(image), stack)
    shutil.rmtree(folder)
    write_session(folder, Session(image, obstacle="old"), stack)
    (folder / "plots").mkdir()
    (folder / "plots/mine.txt").write_text("mine")
    (folder / "notes.txt").write_text("mine too")
    write_session(folder, Session(image, obstacle="new"), stack)
    assert read_session(folder).obstacle == "new"
    assert (folder / "plots/mine.txt").read_text() == "mine"
    assert (folder / "notes.txt").read_text() == "mine too"
    assert [path.name for path in tmp_path.iterdir()] == ["a.vrpsam"]


def saved_session(tmp_path: Path, stack: np.ndarray, image: SessionImage) -> Path:
    folder = tmp_path / "a.vrpsam"
    mask = np.zeros(SHAPE[1:], np.float32)
    mask[3:9, 3:9] = 1
    drawn = DrawnPlanes.of(np.ones((2, 4, 4), np.uint8))
    session = Session(
        image,
        references=[StoredReference(mask, 1, "mask", 2)],
        layers=[StoredLayer("labels", drawn, {"name": "masks"})],
        result=StoredResult(np.ones(SHAPE, np.uint8), "ZYX", {}),
    )
    write_session(folder, session, stack)
    return folder


@pytest.mark.parametrize(
    "part",
    ["session.json", "references/0000.npz", "references/accepted.npz", "annotations/00-masks.tif",
     "annotations/00-masks.json", "result.ome.tif", "result.json"],
)  # fmt: skip
@pytest.mark.parametrize("harm", ["truncated", "missing"])
def test_a_damaged_session_is_refused_in_one_line(
    tmp_path: Path, stack: np.ndarray, image: SessionImage, part: str, harm: str
) -> None:
    path = saved_session(tmp_path, stack, image) / part
    if harm == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match=r"is damaged|is not a session") as mistake:
        read_session(tmp_path / "a.vrpsam")
    assert "\n" not in str(mistake.value)


def test_a_damaged_frame_of_the_image_is_refused(
    tmp_path: Path, stack: np.ndarray, image: SessionImage
) -> None:
    folder = tmp_path / "a.vrpsam"
    write_session(folder, Session(image), stack)
    (chunk,) = folder.glob("image.zarr/**/3/0/0")
    chunk.write_bytes(chunk.read_bytes()[:-30])
    stored = read_session(folder).image
    with pytest.raises(InputError, match=r"image\.zarr cannot be read as an image"):
        open_image(folder, stored)
    # Frames of a long stack may have no fingerprint.
    data = open_image(folder, replace(stored, fingerprints={1: stored.fingerprints[1]}))
    np.testing.assert_array_equal(data[2], stack[2])
    with pytest.raises(InputError, match=r"image\.zarr cannot be read as an image"):
        np.asarray(data[3])


def change_session_file(folder: Path, change: Any) -> None:
    content = json.loads((folder / "session.json").read_text("utf-8"))
    change(content)
    (folder / "session.json").write_text(json.dumps(content), "utf-8")


def test_settings_of_format_1_are_read(
    tmp_path: Path, stack: np.ndarray, image: SessionImage
) -> None:
    """Format 1 had other names for two settings."""
    folder = tmp_path / "a.vrpsam"
    write_session(folder, Session(image, settings=SETTINGS), stack)

    def to_format_1(content: dict[str, Any]) -> None:
        content["format"] = 1
        settings = content["settings"]
        settings["limits"], settings["tile"] = settings.pop("contrast_limits"), 512
        del settings["tile_size"]

    change_session_file(folder, to_format_1)
    assert read_session(folder).settings == SETTINGS


def test_a_model_file_is_found_after_it_was_moved_with_the_session(
    tmp_path: Path, stack: np.ndarray, image: SessionImage
) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    model = before / "mine.safetensors"
    model.touch()
    write_session(before / "a.vrpsam", Session(image, settings=Settings(str(model))), stack)
    assert read_session(before / "a.vrpsam").settings.model == str(model)
    before.rename(after)
    assert read_session(after / "a.vrpsam").settings.model == str(after / "mine.safetensors")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("settings", {"contrast_limits": ["a", 2]}, r"settings\.contrast_limits.*: .*number"),
        ("settings", {"pseudo_mask": "x"}, "settings.pseudo_mask: "),
        ("classes", [{"number": "one", "name": "a", "colour": "#000000"}], "classes.0"),
        ("image", {"name": "a"}, "image.shape: Field required"),
        ("references", "none", "references: .*list"),
        ("references", [{"file": "../../session.json"}], "is damaged"),
        ("layers", ["../../../a"], "is damaged"),
        ("format", "x", "is damaged"),
    ],
)
def test_an_invalid_session_file_is_refused_in_one_line(
    tmp_path: Path, stack: np.ndarray, image: SessionImage, key: str, value: Any, message: str
) -> None:
    folder = tmp_path / "a.vrpsam"
    write_session(folder, Session(image), stack)
    change_session_file(folder, lambda content: content.update({key: value}))
    with pytest.raises(InputError, match=message) as error:
        read_session(folder)
    assert "\n" not in str(error.value)


def test_newer_sessions_and_pickles_are_refused(
    tmp_path: Path, stack: np.ndarray, image: SessionImage
) -> None:
    folder = saved_session(tmp_path, stack, image)
    head = json.loads((folder / "session.json").read_text("utf-8"))
    (folder / "session.json").write_text(json.dumps({**head, "format": 3, "version": "9.1"}))
    with pytest.raises(InputError, match=r"saved by version 9\.1 .* update napari-vrp-sam"):
        read_session(folder)
    (folder / "session.json").write_text(json.dumps(head))
    mask = np.array([[print]], dtype=object)
    np.savez_compressed(folder / "references/0000.npz", mask=mask)
    with pytest.raises(InputError, match="is damaged"):
        read_session(folder)
    with pytest.raises(InputError, match="is not a session"):
        read_session(tmp_path)


def test_the_suffix_of_session_folders() -> None:
    assert session_folder("a/b").name == "b.vrpsam"
    assert session_folder("a/b.vrpsam").name == "b.vrpsam"
    assert session_folder("a/b.tif").name == "b.tif.vrpsam"
