"""The window while a real model learns: scrolling and painting, and how long that waits."""

import gc
import time

import numpy as np
import psutil
import pytest
from tests.plugin.waiting import Stopwatch, waiting

from napari_vrp_sam.io.samples import sample_stack
from napari_vrp_sam.plugin.fine_tune.widget import FineTuneWidget

pytestmark = pytest.mark.alone

FRAMES = 24
STEPS = 12
"""Steps to watch: half a minute or so."""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_window_answers_while_a_model_learns(qtbot, make_napari_viewer, capsys):
    viewer = make_napari_viewer(show=True)
    stack, truth = sample_stack(size=512, frames=FRAMES)
    viewer.add_image(stack, name="stack")
    labels = viewer.add_labels(np.zeros(stack.shape, np.uint8), name="masks")
    labels.data[3] = truth[3]
    own = viewer.add_labels(np.zeros(stack.shape, np.uint8), name="notes")
    own.brush_size, own.mode = 20, "paint"
    tuner = FineTuneWidget(viewer)
    viewer.window.add_dock_widget(tuner, name="Fine-tune")
    tuner.form.annotation_list.tick(own, on=False)
    tuner.form.device_box.setCurrentText("cpu")
    viewer.dims.set_current_step(0, 3)
    qtbot.wait(1000)
    gc.collect()

    def scroll_and_paint(until, rounds):
        watch = Stopwatch(tuner)
        for at in range(rounds):
            qtbot.wait(250)
            frame = at % FRAMES
            viewer.dims.set_current_step(0, frame)
            qtbot.wait(250)
            own.paint((frame, 50 + 4 * (at % 90), 100), 1)
            if until():
                break
        return watch.stop()

    idle = scroll_and_paint(lambda: False, 20)
    memory = psutil.Process().memory_info().rss
    tuner.fine_tune()
    gaps = scroll_and_paint(lambda: len(tuner.plot.losses) >= STEPS or not tuner.running, 600)
    grown = (psutil.Process().memory_info().rss - memory) / 1e6
    assert len(tuner.plot.losses) >= STEPS, tuner.status.text()
    start = time.monotonic()
    tuner.cancel()
    qtbot.waitUntil(lambda: not tuner.running, timeout=10_000)
    cancelled = time.monotonic() - start
    with capsys.disabled():
        print(  # noqa: T201 # the figures are wanted wherever the tests run
            f"\nevent loop while a model learns, over {waiting(gaps, idle)}; memory grew by "
            f"{grown:.0f} MB; cancelled in {cancelled:.2f} s"
        )
    # Where napari's own drawing takes longer than that, a run must not make it much worse.
    assert np.percentile(gaps, 99) < max(50, 1.5 * np.percentile(idle, 99))
    assert grown < 200
    assert cancelled < 1
