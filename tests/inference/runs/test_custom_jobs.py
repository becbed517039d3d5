"""Jobs that bring their own work: done, paused and cancelled by either engine."""

import os
import time

import numpy as np
import pytest

from napari_vrp_sam.inference.runs.engine import ThreadEngine
from napari_vrp_sam.inference.runs.events import Cancelled, Done, Failed
from napari_vrp_sam.inference.runs.process.engine import ProcessEngine

FOREVER = 10**6


@pytest.fixture(scope="module", params=[ThreadEngine, ProcessEngine])
def engine(request, counting):
    engine = request.param()
    yield engine
    if isinstance(engine, ProcessEngine):
        engine.close()


@pytest.fixture
def stack():
    return np.arange(4, dtype=np.uint8)[:, None, None] * np.ones((1, 16, 16), np.uint8)


def quiet(run, seconds=0.3):
    """Return True if nothing arrives after the events that were on their way."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        time.sleep(seconds)
        if not run.poll():
            return True
    return False


def first(run):
    return next(iter(run.events()))


def test_it_yields_its_own_events_and_the_engine_adds_the_end(engine, counting, stack):
    *counted, end = engine.submit(counting.Count(stack, last=6)).events()

    assert [event.number for event in counted] == list(range(6))
    assert [event.mean for event in counted] == [0, 1, 2, 3, 0, 1]  # the stack is read from here
    elsewhere = isinstance(engine, ProcessEngine)
    assert {event.process != os.getpid() for event in counted} == {elsewhere}
    assert end == Done(0)


def test_an_input_error_is_one_sentence(engine, counting, stack):
    job = counting.Count(stack, last=6, mistake="Count further.")
    assert list(engine.submit(job).events()) == [Failed("Count further.")]


def test_it_waits_while_paused_and_continues(engine, counting, stack):
    run = engine.submit(counting.Count(stack, last=100))
    seen = [first(run)]
    run.pause()
    assert quiet(run)
    run.resume()
    rest = list(run.events())

    assert rest[-1] == Done(0)
    numbers = [event.number for event in rest[:-1]]
    assert numbers == list(range(numbers[0], 100))
    assert numbers[0] > seen[0].number


def test_the_last_of_many_changes_of_mind_counts(engine, counting, stack):
    run = engine.submit(counting.Count(stack, last=FOREVER))
    first(run)
    for _ in range(50):
        run.resume()
        run.pause()
    assert quiet(run)
    for _ in range(50):
        run.pause()
        run.resume()
    assert first(run)
    run.cancel()
    assert list(run.events())[-1] == Cancelled(0)


def test_paused_before_it_began(engine, counting, stack):
    run = engine.submit(counting.Count(stack, last=FOREVER))
    run.pause()
    assert quiet(run)
    run.cancel()
    assert list(run.events())[-1] == Cancelled(0)


def test_a_paused_run_is_cancelled_at_once(engine, counting, stack):
    run = engine.submit(counting.Count(stack, last=FOREVER))
    first(run)
    run.pause()
    assert quiet(run)
    run.cancel()
    assert list(run.events()) == [Cancelled(0)]
    assert list(engine.submit(counting.Count(stack, last=1)).events())[-1] == Done(0)
