"""Batches prepared ahead by a thread."""

from __future__ import annotations

import threading

import pytest

from napari_vrp_sam.fine_tuning.data.ahead import BatchesAhead


def test_next_batch_is_made_while_the_present_one_is_used():
    made = {step: threading.Event() for step in range(10)}

    def make(step):
        made[step].set()
        return {"step": step}

    with BatchesAhead(make) as batches:
        assert batches.batch(4) == {"step": 4}
        assert made[5].wait(30)
        assert batches.batch(5) == {"step": 5}
        assert batches.batch(8) == {"step": 8}  # not the one that is ready
    assert not [t for t in threading.enumerate() if t.name.startswith("batches")]


def test_errors_are_raised_where_the_batch_is_needed():
    def make(step):
        if step == 1:
            raise ValueError(step)
        return {}

    with BatchesAhead(make) as batches:
        batches.batch(0)
        with pytest.raises(ValueError, match="1"):
            batches.batch(1)
