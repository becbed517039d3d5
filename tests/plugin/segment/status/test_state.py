"""State of the panel, and what follows from it, without a window."""

import subprocess
import sys

import pytest

from napari_vrp_sam.inference.runs.events import Progress, frame_progress
from napari_vrp_sam.plugin.segment.status.panel_view import NOTICE_SECONDS, view
from napari_vrp_sam.plugin.segment.status.run_state import Quality, RunEnd
from napari_vrp_sam.plugin.segment.status.state import Notice, PanelState

READY = PanelState().inputs_changed(image=True, annotated=True)
LOADING = Progress(0, 7, "Loading the model", "loading")
NO_ANNOTATION = Notice("There is no annotation yet.", severity="warning", topic="inputs")


def message(state, now=0.0):
    return view(state, now).message


def running(*events, start=0.0):
    """State of a run of 7 frames after events at given times."""
    state = READY.started(7, start)
    for now, event in events:
        state = state.progressed(event, now)
    return state


def test_state_and_view_need_no_qt():
    code = (
        "import sys, napari_vrp_sam.plugin.segment.status.panel_view\n"
        "assert not {'qtpy', 'napari'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_only_warnings_of_the_run_itself_outlive_it():
    end = RunEnd("done", done=7, total=7, layer=1)
    noticed = running().noticed(Notice("'a' is hidden but ticked.", topic="run")).ended(end)
    assert "hidden" not in message(noticed)
    assert view(noticed, 0).severity == "info"
    warned = running().warned("There is no contrast.", 0)
    assert view(warned, 0).severity == "warning"
    shown = view(warned.ended(end), 0)
    assert shown.message.endswith(" s. There is no contrast.")
    assert shown.severity == "warning"


def test_idle_phases_follow_from_the_inputs():
    empty = PanelState()
    image = empty.inputs_changed(image=True, annotated=False)
    assert [state.phase for state in (empty, image, READY)] == [
        "empty",
        "needs annotation",
        "ready",
    ]
    assert "No image is open" in message(empty)
    assert "No annotation yet" in message(image)
    assert message(READY).startswith("Ready")
    assert view(READY, 0).can_segment
    assert not view(READY, 0).can_cancel


def test_the_status_warns_of_an_incomplete_mask():
    doubted = READY.mask_doubted("More objects look like the 5 that are marked. Others follow.")
    shown = view(doubted, 0)
    assert (shown.message, shown.severity) == (doubted.incomplete, "warning")
    ended = doubted.started(7, 0).ended(RunEnd("done", done=7, total=7, layer=1))
    assert message(ended).endswith(" s. More objects look like the 5 that are marked.")
    assert view(ended, 0).severity == "warning"
    assert shown.asks
    assert view(ended, 0).asks
    assert message(doubted.mask_doubted("")).startswith("Ready")
    assert message(doubted.image_chosen(image=True)).startswith("Ready")


def test_the_answer_to_an_incomplete_mask_is_offered_with_the_warning_only():
    doubted = READY.mask_doubted("More objects look like the 5 that are marked. Others follow.")
    undone = view(doubted.noticed(Notice("Undone: accept frame 12.", topic="undo")), 0)
    assert undone.message.startswith("Undone: accept frame 12. More objects look like the 5")
    assert (undone.asks, undone.severity) == (True, "warning")
    refused = view(doubted.noticed(NO_ANNOTATION), 0)
    assert (refused.message, refused.asks) == (NO_ANNOTATION.text, False)
    assert not view(doubted.started(7, 0), 0).asks
    assert not view(READY, 0).asks


def test_objects_are_called_out_of_date_once():
    outdated = READY.objects_checked(outdated=True)
    reason = "The result has changed since its objects were found: press Find objects."
    assert message(outdated).count("press Find objects") == 1
    assert message(outdated.noticed(Notice(reason, severity="warning"))) == reason


def test_nothing_that_was_said_before_stays_when_a_run_starts():
    segmented = RunEnd("done", done=20, total=20, layer=1)
    before = (
        READY.noticed(NO_ANNOTATION),
        READY.layers_changed({1: "result"}).ended(segmented),
        READY.result_changed(Quality((("class 1", 0.8),), (), ("3", 0.4))),
    )
    for state in before:
        shown = view(state.started(7, 0), 2)
        assert shown.message == "Starting (2 s)"
        assert shown.severity == "info"
        assert not shown.quality
        assert (shown.can_segment, shown.can_cancel, shown.running) == (False, True, True)


def test_every_stage_shows_its_elapsed_time():
    state = running((5, LOADING), (65, Progress(0, 7, "Learning from the annotations", "learning")))
    assert state.phase == "learning"
    assert message(state, 70.5) == "Learning from the annotations (5 s)"
    assert message(state, 140) == "Learning from the annotations (1 min 15 s)"


def test_time_left_is_estimated_from_the_frames_alone():
    first = running((100, frame_progress(0, 7)), (200, frame_progress(1, 7)))
    assert message(first, 205) == "Frame 2 of 7 (1 min 45 s)"
    second = first.progressed(frame_progress(2, 7), 220)
    assert message(second, 220) == "Frame 3 of 7 (2 min, about 2 min left)"
    # The estimate counts down while nothing is reported, and is never negative.
    assert message(second, 260) == "Frame 3 of 7 (2 min 40 s, about 1 min left)"
    assert ", a few seconds left)" in message(second, 1000)


def test_tiles_move_text_bar_and_estimate():
    state = running((0, frame_progress(0, 2, 1, 4)), (10, frame_progress(0, 2, 2, 4)))
    state = state.progressed(frame_progress(0, 2, 3, 4), 20)
    shown = view(state, 20)
    assert shown.message == "Frame 1 of 2, tile 3 of 4 (20 s, about 1 min left)"
    assert (shown.value, shown.maximum, shown.progress) == (2, 8, "0 of 2 frames")


def test_cancelling_stays_until_the_end():
    state = running((1, LOADING)).cancelling(10)
    assert state.cancelling(11) == state
    state = state.progressed(frame_progress(3, 7), 12)
    assert state.phase == "cancelling"
    assert message(state, 13) == "Cancelling… (3 s)"
    assert not view(state, 13).can_cancel
    assert view(state, 13).value == 3
    ended = state.ended(RunEnd("cancelled", done=3, total=7))
    assert ended.phase == "cancelled"
    assert message(ended) == "Cancelled: 3 of 7 frames are kept."


@pytest.mark.parametrize(
    ("done", "total", "sentence"),
    [
        (1, 1, "Segmented 1 frame in 65"),
        (7, 7, "Segmented all 7 frames in"),
    ],
)
def test_singular_and_plural_of_a_finished_run(done, total, sentence):
    state = READY.ended(RunEnd("done", done=done, total=total, seconds=65))
    assert message(state) == sentence.removesuffix(" 65") + " 1 min 5 s."


@pytest.mark.parametrize(
    ("done", "sentence"),
    [
        (0, "Cancelled: no frame was finished."),
        (1, "Cancelled: 1 of 7 frames is kept."),
        (2, "Cancelled: 2 of 7 frames are kept."),
    ],
)
def test_singular_and_plural_of_a_cancelled_run(done, sentence):
    assert message(READY.ended(RunEnd("cancelled", done=done, total=7))) == sentence


def test_a_notice_during_a_run_does_not_hide_the_progress():
    state = running((0, LOADING)).noticed(Notice("Saved as a.vrpsam.", time=3))
    assert message(state, 3) == "Loading the model (3 s). Saved as a.vrpsam."
    later = 3 + NOTICE_SECONDS + 1
    assert message(state, later) == f"Loading the model ({later} s)"


def test_an_error_in_the_inputs_disappears_with_their_change():
    state = READY.noticed(NO_ANNOTATION)
    assert view(state, 0).severity == "warning"
    assert message(state.inputs_changed(image=True, annotated=True)).startswith("Ready")
    refused = READY.ended(RunEnd("refused", total=7, message="The file is missing."))
    assert (refused.phase, view(refused, 0).severity) == ("failed", "warning")
    assert refused.inputs_changed(image=True, annotated=True).phase == "ready"
    # A result stays true while the user goes on annotating.
    done = READY.ended(RunEnd("done", done=7, total=7))
    assert done.inputs_changed(image=True, annotated=True).phase == "done"


def test_nothing_survives_the_choice_of_another_image():
    quality = Quality((("class 1", 0.8),), (), ("3", 0.4))
    state = READY.ended(RunEnd("done", done=7, total=7)).result_changed(quality)
    for said in (state, state.noticed(Notice("Frame 3 is accepted."))):
        other = said.image_chosen(image=True)
        assert message(other).startswith("Ready")
        assert not view(other, 0).quality
    session = state.noticed(Notice("Opened a.vrpsam.", topic="session"))
    assert message(session.image_chosen(image=True)) == "Opened a.vrpsam."


def test_a_message_follows_its_layer():
    state = READY.layers_changed({1: "stack", 2: "result"})
    state = state.ended(RunEnd("done", done=7, total=7, seconds=3, layer=2))
    assert message(state) == "Segmented all 7 frames into 'result' in 3 s."
    renamed = state.layers_changed({1: "stack", 2: "mitochondria"})
    assert "into 'mitochondria'" in message(renamed)
    assert renamed.layers_changed({1: "stack"}).phase == "ready"
    accepted = state.noticed(Notice("Frame 3 is accepted.", topic="action"))
    assert message(accepted.layers_changed({1: "stack"})).startswith("Ready")


def test_a_run_shows_its_own_expected_iou():
    old = Quality((("class 1", 0.9),), (), ("3", 0.4))
    state = READY.result_changed(old).started(7, 0)
    assert not view(state, 0).quality
    state = state.learned(Quality((("class 1", 0.744), ("class 2", None)), ("class <1>: x.",)))
    assert view(state, 0).quality == "Expected IoU: 0.74 (class 1), unknown (class 2)"
    assert "class &lt;1&gt;: x." in view(state, 0).quality_help


def test_details_of_long_messages_are_folded():
    text = (
        "SAM ViT-B has to be downloaded (375 MB), but there is no connection.\nhttps://x: timed out"
    )
    shown = view(READY.ended(RunEnd("refused", message=text)), 0)
    assert shown.message == "SAM ViT-B has to be downloaded (375 MB), but there is no connection."
    assert shown.details == "https://x: timed out"


def test_device_and_worker():
    state = READY.worker_changed("starting")
    assert view(state, 0).engine == "Background process starting"
    assert (
        view(state.loaded("CPU").worker_changed("busy"), 0).engine
        == "CPU · background process busy"
    )
    assert not view(READY, 0).engine


def test_messages_on_objects_follow_that_on_their_result():
    def objects(text, severity="info"):
        return Notice(text, severity=severity, topic="objects")

    applied = READY.noticed(Notice("Applied the annotations to 'b'.", topic="result"))
    ended = READY.started(7, 0).ended(RunEnd("done", done=7, total=7, layer=1))
    for before, first in ((applied, "Applied"), (ended, "Segmented all 7 frames")):
        state = before.noticed(objects("Finding objects…")).noticed(objects("Added 3 objects."))
        assert message(state).startswith(first)
        assert message(state).endswith(". Added 3 objects.")
        failed = state.noticed(objects("Too large.", "warning"))
        assert view(failed, 0).severity == "warning"
        assert message(state.noticed(Notice("Saved a.tif."))) == "Saved a.tif."
        assert message(state.image_chosen(image=True)).startswith("Ready")
    assert message(READY.noticed(objects("Added 3 objects."))) == "Added 3 objects."


def test_the_worker_line_says_that_the_process_restarts():
    assert view(READY.worker_changed("restarting"), 0).engine == "Background process restarting"
