"""The window while the real engine works: how long it keeps a user waiting, and what it keeps."""

import gc
import time

import numpy as np
import psutil
import pytest
from skimage.measure import block_reduce
from tests.plugin.waiting import Stopwatch, percentile, waiting

from napari_vrp_sam.io.samples import sample_stack
from napari_vrp_sam.plugin.layers.results import is_result

pytestmark = pytest.mark.alone

FRAMES, SIDE = 50, 1024
ENOUGH = 12
"""Frames to watch: a minute or two are enough."""


def test_the_percentile_is_that_of_waiting_times():
    rng = np.random.default_rng(0)
    gaps = rng.exponential(10, 500)
    ends = gaps.cumsum()
    moments = rng.uniform(0, ends[-1], 200_000)
    waits = ends[np.searchsorted(ends, moments)] - moments
    assert percentile(gaps, 0.99) == pytest.approx(np.percentile(waits, 99), rel=0.02)


@pytest.mark.slow
def test_the_window_answers_while_a_large_stack_runs(qtbot, make_napari_viewer, capsys):
    viewer = make_napari_viewer(show=True)
    small, truth = sample_stack(size=256, frames=8)
    image = viewer.add_image(
        np.stack([np.kron(small[z % 8], np.ones((4, 4), np.uint8)) for z in range(FRAMES)]),
        name="large",
    )
    _, dock = viewer.window.add_plugin_dock_widget("napari-vrp-sam", "Segment stack")
    labels = viewer.add_labels(np.zeros(image.data.shape, np.uint8), name="masks")
    labels.data[3] = np.kron(truth[3], np.ones((4, 4), np.uint8))
    viewer.dims.set_current_step(0, 3)
    dock.preview_box.setChecked(False)
    dock._engine.warm_up()
    qtbot.wait(5000)
    gc.collect()
    memory = psutil.Process().memory_info().rss

    def look_around(until, steps):
        watch = Stopwatch(dock)
        for step in range(steps):
            qtbot.wait(500)
            viewer.dims.set_current_step(0, step % FRAMES)
            if until():
                break
        return watch.stop()

    idle = look_around(lambda: False, 20)
    dock.segment()
    gaps = look_around(lambda: not dock.running or dock.progress.value() >= ENOUGH, 600)
    grown = (psutil.Process().memory_info().rss - memory) / 1e6
    assert dock.progress.value() >= ENOUGH, dock.status.text()
    start = time.monotonic()
    dock.cancel()
    qtbot.waitUntil(lambda: not dock.running, timeout=10_000)
    cancelled = time.monotonic() - start
    with capsys.disabled():
        print(  # noqa: T201 # the figures are wanted wherever the tests run
            f"\nevent loop over {waiting(gaps, idle)}; memory grew by {grown:.0f} MB; "
            f"cancelled in {cancelled:.2f} s"
        )
    # Where napari's own drawing takes longer than that, a run must not make it much worse.
    assert np.percentile(gaps, 99) < max(50, 1.5 * np.percentile(idle, 99))
    assert grown < 200
    assert cancelled < 1
    (result,) = [layer for layer in viewer.layers if is_result(layer)]
    assert block_reduce(result.data[3], (4, 4), np.max).any()
