"""Folders of unfinished runs: found by the content of the image, and limited in size."""

import numpy as np
import pytest

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.sessions.image import SessionImage
from napari_vrp_sam.io.sessions.session import Session
from napari_vrp_sam.io.sessions.unfinished import folder as store
from napari_vrp_sam.io.sessions.unfinished.folder import find_run, make_room, new_run
from napari_vrp_sam.io.sessions.unfinished.run import FRAMES, IMAGES, StoredFrame


@pytest.fixture
def data():
    return np.random.default_rng(0).integers(0, 255, (5, 12, 10), np.uint8)


def start(data, frames=2):
    image = SessionImage("stack", data.shape, data.dtype.str, "ZYX")
    run = new_run(image, data, [2], len(data), {"probabilities": False})
    run.save(Session(image))
    for index in range(frames):
        run.add(index, StoredFrame(np.full((12, 10), index, np.uint8), 0.5, ((1, 12, 10), b"ab")))
    return run


def test_run_is_found_by_the_annotated_frame(data):
    started = start(data)
    found = find_run(data)
    assert (found.folder, found.total, found.indices) == (started.folder, 5, [0, 1])
    frame = found.frames()[1]
    np.testing.assert_array_equal(frame.labels, np.ones((12, 10), np.uint8))
    assert frame.labels.dtype == np.uint8
    assert frame[1:] == (0.5, ((1, 12, 10), b"ab"))
    elsewhere, annotated = data.copy(), data.copy()
    elsewhere[0] += 1
    annotated[2] += 1
    assert find_run(elsewhere) is not None
    assert find_run(annotated) is None
    assert find_run(data[:4]) is None
    found.discard()
    assert find_run(data) is None


def test_run_in_progress_and_run_without_frames_are_not_offered(data):
    start(data, frames=0)
    assert find_run(data) is None
    run = start(data)
    with run.locked():
        assert find_run(data) is None
    assert find_run(data).folder == run.folder


def test_damaged_files_cost_one_frame_or_one_run(data):
    run = start(data)
    (run.folder / FRAMES / "000001.npz").write_bytes(b"PK\x03\x04 torn")
    assert list(find_run(data).frames()) == [0]
    (run.folder / "run.json").write_text("{")
    assert find_run(data) is None


def test_earlier_runs_of_the_image_and_the_oldest_ones_make_room(data, monkeypatch):
    same, other, latest = start(data), start(data + 1), start(data + 2)
    current = start(data)
    assert make_room(current, data) > 0
    assert not same.folder.exists()
    assert other.folder.exists()
    size = sum(path.stat().st_size for path in latest.folder.rglob("*") if path.is_file())
    monkeypatch.setattr(store, "LIMIT", 3 * size)
    assert make_room(current, data) == 2 * size
    assert not other.folder.exists()
    assert latest.folder.exists()
    assert current.folder.exists()


def test_session_and_images_of_separate_references_are_kept(data):
    run = start(data)
    assert run.reference_images() == []
    session = Session(run.image)
    images = [data[0][..., None], np.full((7, 9, 3), 4, np.uint16)]
    run.save(session, images)
    found = find_run(data)
    for one, other in zip(found.reference_images(), images, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    assert found.session().image.name == "stack"
    (run.folder / IMAGES).write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(InputError, match="is damaged: discard the unfinished run"):
        found.reference_images()


def test_frames_without_confidence_and_probabilities(data):
    run = start(data, frames=0)
    run.add(3, StoredFrame(np.eye(4, dtype=np.uint16)))
    (frame,) = find_run(data).frames().values()
    np.testing.assert_array_equal(frame.labels, np.eye(4))
    assert frame[1:] == (None, None)
