"""State of the live preview without a window."""

from napari_vrp_sam.plugin.segment.preview_state import PreviewState


def test_states_of_a_preview_in_their_order():
    states = [PreviewState().changed()]
    states.append(states[-1].started())
    for stage in ("loading", "learning", "segmenting"):
        states.append(states[-1].progressed(stage))
    states.append(states[-1].shown())
    states.append(states[-1].finished())
    states.append(states[-1].changed())
    states.append(states[-1].finished())
    states.append(states[-1].started().progressed("segmenting"))
    seen = [(state.phase, state.outlined) for state in states]
    assert seen == [
        ("waiting", False),
        ("loading", False),
        ("loading", False),
        ("busy", False),
        ("busy", False),
        ("refining", True),
        ("up to date", True),
        ("out of date", True),
        ("out of date", True),
        ("busy", True),
    ]


def test_a_failed_preview_has_a_reason_and_no_outline():
    state = PreviewState().shown().failed("There is no annotation yet.")
    assert (state.reason, state.outlined) == ("There is no annotation yet.", False)
    assert state.text == "not available"
    assert state.changed().text == ""
