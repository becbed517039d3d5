import threading

import pytest

from napari_vrp_sam.inference.runs.control import Control, StopRunError


def test_a_run_that_is_not_paused_continues():
    Control().check()


def test_a_pause_holds_until_it_ends():
    control, passed = Control(), threading.Event()

    def step():
        control.check()
        passed.set()

    control.pause()
    assert control.paused
    thread = threading.Thread(target=step)
    thread.start()
    assert not passed.wait(0.1)
    control.resume()
    assert passed.wait(10)
    assert not control.paused
    thread.join()


@pytest.mark.parametrize("order", [("pause", "cancel"), ("cancel", "pause")])
def test_cancelling_ends_a_pause_in_either_order(order):
    control = Control()
    for name in order:
        getattr(control, name)()
    with pytest.raises(StopRunError):
        control.check()
