"""Features that outlive a process; and runs that read instead of encoding."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.inference.conftest import frame_results

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.prediction.caches.disk_feature_cache import (
    SUFFIX,
    DiskFeatureCache,
    disk_cache,
)
from napari_vrp_sam.inference.prediction.caches.feature_cache import FeatureCache
from napari_vrp_sam.inference.references.gather import gather_references
from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob
from napari_vrp_sam.models.base import FrameFeatures
from napari_vrp_sam.models.lite.network import LiteNetwork

ROOM = 10**9


def features(seed: int = 0) -> FrameFeatures:
    generator = torch.Generator().manual_seed(seed)
    maps = [torch.randn(1, 4, side, side, generator=generator) for side in (8, 16, 5)]
    return FrameFeatures((60, 64), maps[0], (maps[1], maps[2].half()))


def equal(a: FrameFeatures, b: FrameFeatures) -> bool:
    pairs = zip((a.embedding, *a.semantic), (b.embedding, *b.semantic), strict=True)
    return a.size == b.size and all(x.dtype == y.dtype and torch.equal(x, y) for x, y in pairs)


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def cache(tmp_path: Path) -> DiskFeatureCache:
    return DiskFeatureCache(tmp_path, "model", ROOM)


def test_stored_features_are_returned_to_any_process(cache, tmp_path):
    given = features()
    kept = cache.put(b"one", given)
    again = DiskFeatureCache(tmp_path, "model", ROOM).get(b"one")
    assert equal(kept, again)
    assert (again.embedding - given.embedding).abs().max() < 0.02  # 8 bits of mantissa
    assert cache.get(b"two") is None
    assert DiskFeatureCache(tmp_path, "other model", ROOM).get(b"one") is None
    (file,) = files(tmp_path)
    size = sum(m.numel() for m in (given.embedding, *given.semantic))
    assert file.stat().st_size < 2 * size + 4000


def test_a_damaged_file_is_encoded_again(cache, tmp_path):
    cache.put(b"one", features())
    (file,) = files(tmp_path)
    content = file.read_bytes()
    for damaged in (b"", content[: len(content) // 2], content[:300] + b"?" * 100 + content[400:]):
        file.write_bytes(damaged)
        assert cache.get(b"one") is None
        assert not file.exists()
    cache.put(b"one", features())
    assert cache.get(b"one") is not None


def test_the_least_recently_used_features_are_evicted(tmp_path):
    cache = DiskFeatureCache(tmp_path, "model", ROOM)
    cache.put(b"a", features())
    one = files(tmp_path)[0].stat().st_size
    for key in (b"b", b"c", b"d"):
        cache.put(key, features())
    for age, key in enumerate((b"b", b"a", b"d", b"c")):
        os.utime(tmp_path / "model" / (key.hex() + SUFFIX), (1000 - age, 1000 - age))
    small = DiskFeatureCache(tmp_path, "another", int(3.5 * one))
    assert small.put(b"x", features()) is not None
    assert [path.name for path in files(tmp_path)] == [
        key.hex() + SUFFIX for key in (b"x", b"a", b"b")
    ]


def test_many_processes_do_not_add_up_to_much_more_than_the_limit(tmp_path, monkeypatch):
    """With a large limit, the slack of each process would be gigabytes."""
    one = 2_000  # bytes of a file; more than that here
    monkeypatch.setattr(
        "napari_vrp_sam.inference.prediction.caches.disk_feature_cache.MAX_UNCHECKED", one
    )
    DiskFeatureCache(tmp_path, "model", ROOM).put(b"a", features())
    limit = 100 * files(tmp_path)[0].stat().st_size
    caches = [DiskFeatureCache(tmp_path, "model", limit) for _ in range(30)]
    for turn in range(5):
        for number, cache in enumerate(caches):
            cache.put(bytes([turn, number]), features())
    assert sum(path.stat().st_size for path in files(tmp_path)) <= limit


@pytest.mark.parametrize("ahead", [0, 3600, -3600])
def test_features_of_the_current_run_are_kept(tmp_path, monkeypatch, ahead):
    clock = time.time_ns  # and that of the folder's machine, which may be another
    monkeypatch.setattr(time, "time_ns", lambda: clock() + ahead * 10**9)
    DiskFeatureCache(tmp_path, "model", ROOM).put(b"a", features())
    one = files(tmp_path)[0].stat().st_size
    cache = DiskFeatureCache(tmp_path, "model", int(3.5 * one))
    found = []
    for _ in range(2):
        cache.start_round()
        found.append([cache.get(bytes([key])) is not None for key in range(6)])
        for key in range(6):
            if not found[-1][key]:
                cache.put(bytes([key]), features())
    assert sum(path.stat().st_size for path in files(tmp_path)) <= 4 * one
    assert found[0] == [False] * 6
    assert found[1][:3] == [True] * 3


def test_a_full_cache_is_not_an_error(tmp_path):
    (tmp_path / "file").touch()
    cache = DiskFeatureCache(tmp_path / "file", "model", ROOM)
    assert cache.put(b"one", features()).size == (60, 64)
    assert cache.get(b"one") is None


def test_memory_is_read_first_and_filled_from_disk(cache, tmp_path):
    memory = FeatureCache(ROOM, cache)
    kept = memory.put(b"one", features())
    files(tmp_path)[0].unlink()
    assert equal(memory.get(b"one"), kept)
    cache.put(b"two", features(2))
    found = memory.get(b"two")
    files(tmp_path)[0].unlink()
    assert memory.get(b"two") is found


@pytest.mark.parametrize(("given", "limit"), [("2.5", int(2.5e9)), ("0", None)])
def test_the_limit_can_be_set(tmp_path, monkeypatch, given, limit):
    monkeypatch.setenv("VRP_SAM_CACHE", str(tmp_path))
    monkeypatch.setenv("VRP_SAM_FEATURES", given)
    cache = disk_cache("model")
    assert (cache and cache._limit) == limit
    for wrong in ("much", "inf", "-inf", "nan"):
        monkeypatch.setenv("VRP_SAM_FEATURES", wrong)
        with pytest.raises(InputError, match=f"VRP_SAM_FEATURES={wrong} is not a number"):
            disk_cache("model")
    monkeypatch.delenv("VRP_SAM_FEATURES")
    assert 0 < disk_cache("model")._limit <= 20e9


WRITER = """
import sys, torch
from pathlib import Path
from napari_vrp_sam.inference.prediction.caches.disk_feature_cache import DiskFeatureCache
from napari_vrp_sam.models.lite.network import LiteNetwork
from napari_vrp_sam.models.base import FrameFeatures

cache = DiskFeatureCache(Path(sys.argv[1]), "model", int(sys.argv[2]))
for turn in range(40):
    key = bytes([turn % 8])
    found = cache.get(key)
    maps = torch.full((1, 4, 8, 8), float(turn % 8))
    assert found is None or torch.equal(found.embedding, maps), turn
    if found is None or turn % 3 == 0:
        cache.put(key, FrameFeatures((8, 8), maps, (maps,)))
"""


@pytest.mark.slow
def test_processes_share_a_folder(tmp_path):
    command = [sys.executable, "-c", WRITER, str(tmp_path), "9000"]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(2)]
    for process in both:
        _, told = process.communicate(timeout=120)
        assert process.returncode == 0, told
    assert all(path.name.endswith(SUFFIX) for path in files(tmp_path))
    assert not any(path.name.startswith(".") for path in files(tmp_path))


SECOND_RUN = """
import pickle, sys
from napari_vrp_sam.inference.runs.control import Control
from napari_vrp_sam.inference.runs.events import FrameResult
from napari_vrp_sam.models.lite.network import LiteNetwork

encode, passes = LiteNetwork.encode, []
LiteNetwork.encode = lambda self, frames: passes.append(len(frames)) or encode(self, frames)
job = pickle.load(open(sys.argv[1], "rb"))
labels = [e.labels for e in job.events(Control()) if isinstance(e, FrameResult)]
pickle.dump((sum(passes), labels), open(sys.argv[2], "wb"))
"""


@pytest.mark.slow
def test_a_second_process_reads_instead_of_encoding(stack, truth, tmp_path, monkeypatch):
    """The views of the annotated frame are drawn for its annotation, and encoded with it."""
    monkeypatch.setenv("VRP_SAM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("VRP_SAM_FEATURES", "1")
    passes = []
    encode = LiteNetwork.encode
    monkeypatch.setattr(
        LiteNetwork, "encode", lambda self, f: passes.append(len(f)) or encode(self, f)
    )
    references = gather_references(Frames(stack[0]), truth[0], reference_frame=1)
    job = SegmentationJob(stack[0], references=references, device="cpu", cache=True)
    first = [result.labels for result in frame_results(job)]
    (tmp_path / "job").write_bytes(pickle.dumps(job))
    command = [sys.executable, "-c", SECOND_RUN, tmp_path / "job", tmp_path / "result"]
    subprocess.run(command, check=True, timeout=120)
    passes_of_second, labels = pickle.loads((tmp_path / "result").read_bytes())
    np.testing.assert_array_equal(labels, first)
    # Of the first run, one reference and all frames but that one, which is known by then.
    assert sum(passes) - passes_of_second == len(stack[0])

    plain = [result.labels for result in frame_results(replace(job, cache=None))]
    assert np.mean(np.asarray(plain) != first) < 0.002  # rounding changes next to nothing
