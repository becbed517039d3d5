"""Killed at any moment, or out of disk: the next start goes on, and nothing is lost."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_vrp_sam.fine_tuning.events import TrainingStep
from napari_vrp_sam.fine_tuning.interrupted.checkpoint import CHECKPOINT
from napari_vrp_sam.fine_tuning.run import fine_tune_events
from napari_vrp_sam.inference.runs.control import Control
from napari_vrp_sam.models.weights.checkpoints import read_checkpoint

KILLS = int(os.environ.get("VRP_SAM_KILLS", "1"))
"""Times that a run is killed; set it to 20 to be thorough."""

SCRIPT = """
import pickle, resource, sys
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.runs.control import Control
from napari_vrp_sam.fine_tuning.run import fine_tune_events

job, recipe, limit = pickle.load(open(sys.argv[1], "rb"))
if limit:
    import signal
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
try:
    for event in fine_tune_events(job, Control(), recipe=recipe):
        print(type(event).__name__, getattr(event, "step", ""), flush=True)
except InputError as error:
    print(error)
    sys.exit(2)
"""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")


@pytest.fixture
def start(tmp_path: Path):
    """Starts a run in a process of its own."""
    started: list[subprocess.Popen[str]] = []

    def start(job, recipe, limit=0):
        path = tmp_path / "what.pickle"
        path.write_bytes(pickle.dumps((job, recipe, limit)))
        command = [sys.executable, "-c", SCRIPT, str(path)]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.slow
@pytest.mark.timeout(240 + 60 * KILLS)
def test_killed_at_random_moments_it_ends_with_the_same_weights(start, job_of, recipe, tmp_path):
    recipe = replace(recipe, validations=3, checkpoint_seconds=0.05)
    whole, killed = (
        job_of(1, 2, steps=12 + 6 * KILLS, output=tmp_path / f"{name}.safetensors")
        for name in ("whole", "killed")
    )
    # In a process of its own as well: what other tests did in this one may change the rounding.
    output, _ = start(whole, recipe).communicate(timeout=300)
    assert output.splitlines()[-1].startswith("FineTuned")

    rng = np.random.default_rng()
    reached = 0
    for _ in range(KILLS):
        process = start(killed, recipe)
        wanted = reached + int(rng.integers(0, 7))
        for line in process.stdout:
            name, _, step = line.strip().partition(" ")
            if name == "TrainingStep":
                assert int(step) >= reached - 40  # not from the beginning
                reached = max(reached, int(step))
                if int(step) > wanted:
                    break
        time.sleep(rng.uniform(0, 0.2))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert not killed.output.exists()
    process = start(killed, recipe)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert output.splitlines()[-1].startswith("FineTuned")

    first, second = read_checkpoint(whole.output), read_checkpoint(killed.output)
    assert first.metadata["metrics"] == second.metadata["metrics"]
    for name, tensor in first.tensors.items():
        assert torch.equal(tensor, second.tensors[name]), name
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "killed.safetensors", "what.pickle", "whole.safetensors",
    ]  # fmt: skip


def test_two_processes_do_not_work_on_one_run(start, job_of, recipe):
    job = job_of()
    events = fine_tune_events(job, Control(), recipe=recipe)
    next(events)
    output, _ = (process := start(job, recipe)).communicate(timeout=120)
    assert process.returncode == 2
    assert output == (
        "Another window or process fine-tunes 'own' at the moment: wait until it ends, or choose "
        "another name.\n"
    )
    *_, end = events
    assert end.path == job.output


@pytest.mark.slow
@pytest.mark.parametrize(("limit", "steps_left"), [(1_000_000, 3), (5_000_000, 0)])
def test_without_room_nothing_is_lost(start, job_of, recipe, limit, steps_left):
    """Files may grow to a limit: first too small for a checkpoint, then for the model alone."""
    job = job_of(parts="decoder")
    events = fine_tune_events(job, Control(), recipe=recipe)
    while getattr(next(events), "step", 0) < 3:
        pass
    next(events)  # what was done is saved before the next step
    events.close()
    saved = (job.folder / CHECKPOINT).read_bytes()
    process = start(job, recipe, limit)
    output, _ = process.communicate(timeout=120)

    assert process.returncode == 2, output
    sentence = output.splitlines()[-1]
    assert sentence.startswith("Cannot write weights to")
    assert sentence.endswith("File too large.")
    assert not job.output.exists()
    names = [path.name for path in job.folder.parent.iterdir()]
    assert sorted(names) == ["own.safetensors.fine-tuning", "what.pickle"]
    kept = [CHECKPOINT, "job.json", "references", "references.json"]
    assert sorted(path.name for path in job.folder.iterdir()) == kept
    assert ((job.folder / CHECKPOINT).read_bytes() == saved) == (steps_left > 0)

    *told, end = fine_tune_events(job, Control(), recipe=recipe)
    assert sum(isinstance(event, TrainingStep) for event in told) == steps_left
    assert end.path == job.output
