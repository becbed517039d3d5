"""Outputs and caches where nothing can be written: too long, read-only, or below a file."""

import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.files import write_json
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.normalisation import Normalisation
from napari_vrp_sam.inference.prediction.caches.disk_feature_cache import DiskFeatureCache
from napari_vrp_sam.inference.prediction.caches.feature_cache import FeatureCache
from napari_vrp_sam.inference.references.gather import gather_references
from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob
from napari_vrp_sam.inference.segmenter_file import write_segmenter
from napari_vrp_sam.io.labels.writers import label_writer
from napari_vrp_sam.io.sessions.image import SessionImage
from napari_vrp_sam.io.sessions.session import Session, write_session
from napari_vrp_sam.models.base import FrameFeatures
from napari_vrp_sam.models.weights.checkpoints import write_checkpoint

READ_ONLY = pytest.param(
    "/proc/nowhere",  # read-only for the administrator too
    marks=pytest.mark.skipif(sys.platform != "linux", reason="/proc is of Linux"),
)
STACK = np.zeros((3, 32, 32), np.uint8)


def place(folder, kind):
    (folder / "file").write_text("")
    return {"long": folder / ("x" * 300), "file": folder / "file" / "sub"}.get(kind, kind)


def session_of(path):
    session = Session(SessionImage("a", STACK.shape, "uint8", "ZYX"))
    write_session(path, session, STACK)


def labels_of(path):
    writer = label_writer(path, STACK.shape, np.dtype(np.uint8), "ZYX")
    writer.write(0, STACK[0])
    writer.close()


def segmenter_of(path):
    references = gather_references(Frames(STACK), STACK[0] + np.eye(32, dtype=np.uint8))
    references = [replace(r, frame=0) for r in references]
    job = SegmentationJob(None, references=references, normalisation=Normalisation((0,), (1,)))
    write_segmenter(path, job, axes="ZYX", expected_iou={})


@pytest.mark.parametrize("kind", ["long", "file", READ_ONLY])
@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.vrpsam", session_of),
        ("a.json", lambda path: write_json(path, {})),
        ("a.safetensors", lambda path: write_checkpoint(path, {"a": torch.zeros(2)})),
        ("a.vrpsam", segmenter_of),
        ("a.tif", labels_of),
        ("a.zarr", labels_of),
        ("folder", labels_of),
    ],
)
def test_writing_fails_in_one_sentence(tmp_path, kind, name, write):
    target = place(tmp_path, kind)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError) as error:
        write(Path(target) / name)
    assert "\n" not in str(error.value)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("kind", ["file", READ_ONLY])
def test_a_cache_that_cannot_be_written_is_no_error(tmp_path, kind):
    folder = Path(place(tmp_path, kind))
    disk = DiskFeatureCache(folder, "model", 10**9)
    cache = FeatureCache(10**9, disk)
    maps = torch.rand(1, 4, 8, 8)
    kept = cache.put(b"one", FrameFeatures((60, 64), maps, (maps,)))
    assert torch.equal(cache.get(b"one").embedding, kept.embedding)
    assert disk.get(b"one") is None


@pytest.mark.parametrize("when", [0, 2**32])
def test_a_clock_that_jumped_loses_no_features(tmp_path, when):
    disk = DiskFeatureCache(tmp_path, "model", 10**9)
    maps = torch.rand(1, 4, 8, 8)
    kept = disk.put(b"one", FrameFeatures((60, 64), maps, (maps,)))
    (path,) = [p for p in tmp_path.rglob("*") if p.is_file()]
    os.utime(path, (when, when))
    again = DiskFeatureCache(tmp_path, "model", 10**9)
    assert torch.equal(again.get(b"one").embedding, kept.embedding)
    again.put(b"two", FrameFeatures((60, 64), maps, (maps,)))
    assert again.get(b"one") is not None
