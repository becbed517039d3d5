"""Runs that are killed or run out of disk space can be resumed without loss."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
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
"""Number of times that a run is killed; 20 is a thorough test."""

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
    """Start a job in another process, optionally with a limit on the size of files."""
    started: list[subprocess.Popen[str]] = []

    def start(job, recipe, limit=0):
        path = tmp_path / "job.pickle"
        path.write_bytes(pickle.dumps((job, recipe, limit)))
        command = [sys.executable, "-c", SCRIPT, str(path)]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def recipe(recipe):
    return replace(recipe, checkpoint_seconds=0.0)


@pytest.mark.slow
@pytest.mark.timeout(240 + 60 * KILLS)
def test_killed_run_ends_with_the_same_weights(start, job_of, recipe, tmp_path):
    recipe = replace(recipe, validations=3, checkpoint_seconds=0.05)
    whole, killed = (
        job_of(1, 2, steps=12 + 6 * KILLS, output=tmp_path / f"{name}.safetensors")
        for name in ("whole", "killed")
    )
    # Also in another process: earlier tests in this one may have changed the rounding.
    output, _ = start(whole, recipe).communicate(timeout=300)
    assert output.splitlines()[-1].startswith("FineTuningResult")

    rng = np.random.default_rng()
    reached = 0
    for _ in range(KILLS):
        process = start(killed, recipe)
        target = reached + int(rng.integers(0, 7))
        for line in process.stdout:
            name, _, step = line.strip().partition(" ")
            if name == "TrainingStep":
                assert int(step) >= reached - 40  # not from the beginning
                reached = max(reached, int(step))
                if int(step) > target:
                    break
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert not killed.output.exists()
    process = start(killed, recipe)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert output.splitlines()[-1].startswith("FineTuningResult")

    first, second = read_checkpoint(whole.output), read_checkpoint(killed.output)
    assert first.metadata["metrics"] == second.metadata["metrics"]
    for name, tensor in first.tensors.items():
        assert torch.equal(tensor, second.tensors[name]), name
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "job.pickle", "killed.safetensors", "whole.safetensors",
    ]  # fmt: skip


@pytest.mark.slow
def test_run_is_locked_against_other_processes(start, job_of, recipe):
    job = job_of(steps=1)
    events = fine_tune_events(job, Control(), recipe=recipe)
    next(events)
    output, _ = (process := start(job, recipe)).communicate(timeout=120)
    assert process.returncode == 2
    assert output == (
        "'own' is being fine-tuned in another window or process: wait until it ends, or choose "
        "another name.\n"
    )
    *_, end = events
    assert end.path == job.output


@pytest.mark.slow
@pytest.mark.parametrize(("limit", "steps_left"), [(1_000_000, 3), (5_000_000, 0)])
def test_run_without_disk_space_can_be_resumed(start, job_of, recipe, limit, steps_left):
    """The first limit is too small for a checkpoint, the second one for the model only."""
    job = job_of(parts="decoder")
    events = fine_tune_events(job, Control(), recipe=recipe)
    while getattr(next(events), "step", 0) < 3:
        pass
    next(events)  # the checkpoint is saved before the next step
    events.close()
    saved = (job.folder / CHECKPOINT).read_bytes()
    process = start(job, recipe, limit)
    output, _ = process.communicate(timeout=120)

    assert process.returncode == 2, output
    message = output.splitlines()[-1]
    assert "cannot be written" in message
    assert message.endswith("File too large.")
    assert not job.output.exists()
    names = [path.name for path in job.folder.parent.iterdir()]
    assert sorted(names) == ["job.pickle", "own.safetensors.fine-tuning"]
    remaining = [CHECKPOINT, "job.json", "references", "references.json"]
    assert sorted(path.name for path in job.folder.iterdir()) == remaining
    assert ((job.folder / CHECKPOINT).read_bytes() == saved) == (steps_left > 0)

    *events, end = fine_tune_events(job, Control(), recipe=recipe)
    assert sum(isinstance(event, TrainingStep) for event in events) == steps_left
    assert end.path == job.output
