"""Worker processes end cleanly, their end is noticed at once, and they are replaced."""

import os
import queue
import signal
import subprocess
import sys

import numpy as np
import psutil
import pytest

from napari_vrp_sam.inference.runs.events import Done
from napari_vrp_sam.inference.runs.process.engine import ProcessEngine

TIMEOUT = 120


@pytest.fixture
def engine():
    engine = ProcessEngine()
    yield engine
    engine.close()


@pytest.fixture
def job(counting):
    return counting.Count(np.zeros((4, 16, 16), np.uint8), last=2)


def states(engine):
    """Return the queue of the states that follow."""
    found = queue.Queue()
    engine.listen(found.put)
    return found


def wait_for(found, state):
    seen = []
    while state not in seen:
        seen.append(found.get(timeout=TIMEOUT))
    return seen


def test_an_idle_process_ends_without_an_error_and_is_reaped(capfd):
    engine = ProcessEngine(idle_timeout=0.1)
    found = states(engine)
    process = engine.warm_up().process
    wait_for(found, "stopped")

    assert process.returncode == 0  # -6 after "Fatal Python error"
    assert not psutil.pid_exists(process.pid)  # not even a zombie
    assert "Error" not in capfd.readouterr().err
    assert engine.state == "stopped"
    engine.close()


def test_an_idle_process_ends_after_its_last_job_and_is_replaced(job):
    engine = ProcessEngine(idle_timeout=0.1)
    found = states(engine)
    for _ in range(2):
        assert list(engine.submit(job).events())[-1] == Done(0)
        wait_for(found, "stopped")
    engine.close()


def test_states_follow_each_other(engine, job):
    found = states(engine)
    assert engine.state == "stopped"
    engine.warm_up()
    assert wait_for(found, "ready") == ["starting", "ready"]
    list(engine.submit(job).events())
    assert wait_for(found, "ready") == ["busy", "ready"]
    engine.close()
    assert found.get(timeout=TIMEOUT) == "stopped"
    assert found.empty()


def test_a_listener_that_fails_stops_nothing(engine, job, caplog):
    engine.listen(lambda _state: 1 / 0)
    found = states(engine)
    assert list(engine.submit(job).events())[-1] == Done(0)
    wait_for(found, "ready")
    assert "listener" in caplog.text


def test_the_death_of_a_process_at_rest_is_noticed_and_reaped(engine):
    found = states(engine)
    process = engine.warm_up().process
    wait_for(found, "ready")
    os.kill(process.pid, signal.SIGKILL)

    assert wait_for(found, "stopped") == ["stopped"]  # without asking
    assert process.returncode == -signal.SIGKILL
    assert not psutil.pid_exists(process.pid)
    assert engine.warm_up().process.pid != process.pid


def test_a_process_that_dies_before_it_reads_its_job_is_replaced(engine, job):
    found = states(engine)
    process = engine.warm_up().process
    wait_for(found, "ready")
    os.kill(process.pid, signal.SIGSTOP)  # it reads nothing from now on
    run = engine.submit(job)
    wait_for(found, "busy")
    os.kill(process.pid, signal.SIGKILL)

    assert list(run.events())[-1] == Done(0)


def test_a_process_survives_the_interrupt_of_the_terminal(engine, job):
    found = states(engine)
    process = engine.warm_up().process
    wait_for(found, "ready")
    os.kill(process.pid, signal.SIGINT)

    assert list(engine.submit(job).events())[-1] == Done(0)
    assert engine.warm_up().process is process


PARENT = """
import sys, threading
from napari_vrp_sam.inference.runs.process.engine import ProcessEngine
engine = ProcessEngine()
ready = threading.Event()
engine.listen(lambda state: ready.set() if state == "ready" else None)
print(engine.warm_up().process.pid, flush=True)
ready.wait()
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("when", ["starting", "ready"])
def test_no_process_outlives_a_parent_that_was_killed(when):
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with parent:
        worker = psutil.Process(int(parent.stdout.readline()))
        if when == "ready":
            assert parent.stdout.readline() == b"ready\n"
        parent.kill()
    try:
        worker.wait(TIMEOUT)
    except psutil.TimeoutExpired:  # a container without init keeps it until its own end
        assert worker.status() == psutil.STATUS_ZOMBIE


def test_a_process_that_replaces_another_one_is_restarting(engine):
    found = states(engine)
    engine.warm_up().process.kill()
    assert wait_for(found, "stopped")[0] == "starting"
    engine.warm_up()
    assert "restarting" in wait_for(found, "ready")


def test_an_ignored_listener_is_not_called(engine):
    found = states(engine)
    engine.ignore(found.put)
    engine.warm_up()
    engine.close()
    assert found.empty()
