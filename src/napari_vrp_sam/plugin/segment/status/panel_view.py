"""Texts, buttons and progress bar of the panel *Segment stack*, as they follow from its state."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from napari_vrp_sam.inference.prediction.confidence import describe_quality
from napari_vrp_sam.inference.runs.reporting import format_elapsed
from napari_vrp_sam.plugin.segment.status.run_state import Quality, RunEnd, RunState
from napari_vrp_sam.plugin.segment.status.state import PanelState
from napari_vrp_sam.plugin.widgets.wording import finished_frames, split_message, time_left
from napari_vrp_sam.wording import count

if TYPE_CHECKING:
    from napari_vrp_sam.plugin.widgets.controls import Severity

NOTICE_SECONDS = 8
"""Time during which a notice is shown beside the progress of a run."""

QUALITY_HELP = (
    "Before a run, the expected IoU of a class is measured on one half of the mask annotation, "
    "which is segmented with the other half as reference. After it, this is the mean confidence "
    "of the frames that are not annotated. If the frame with the lowest confidence is wrong, "
    "annotate it too."
)
ESTIMATES = "Before the run:"

FIND_OBJECTS = "press Find objects"
OUTDATED = f"The objects are out of date: {FIND_OBJECTS}."

WORKER_TEXTS = {
    "stopped": "background process stopped until the next run",
    "starting": "background process starting",
    "restarting": "background process restarting",
    "ready": "background process ready",
    "busy": "background process busy",
}


@dataclass(frozen=True)
class PanelView:
    """Texts, enabled buttons and progress bar of the panel.

    Attributes
    ----------
    message, severity, details : str
        The message, and details that are folded away.
    quality, quality_help : str
        Expected IoU and lowest confidence, and the tooltip.
    engine : str
        Device and worker.
    value, maximum, progress : float or str
        Value, maximum and text of the progress bar.
    asks : bool
        True if the message warns of an incomplete mask, which a button answers.
    running, can_segment, can_cancel, can_resume : bool
    """

    message: str
    severity: Severity
    details: str
    quality: str
    quality_help: str
    engine: str
    value: int
    maximum: int
    progress: str
    asks: bool
    running: bool
    can_segment: bool
    can_cancel: bool
    can_resume: bool


def view(state: PanelState, now: float) -> PanelView:
    """Return what the panel shows.

    Parameters
    ----------
    state : PanelState
    now : float
        Seconds on the clock of the panel.
    """
    message, severity, details = _message(state, now)
    run = state.run
    # An earlier result, whose frames are still in view, does not speak for the run.
    quality = state.quality
    if run is not None:
        lowest = quality.lowest if run.progress.done else None
        quality = Quality(run.quality.expected, run.quality.details, lowest)
    value, maximum, progress = _progress(state)
    return PanelView(
        message=message,
        severity=severity,
        details=details,
        quality=describe_quality(quality.expected, quality.lowest),
        quality_help="<br>".join([QUALITY_HELP, *_estimates(quality)]),
        engine=_engine(state),
        value=value,
        maximum=maximum,
        progress=progress,
        asks=run is None and bool(state.incomplete) and _short(state.incomplete) in message,
        running=run is not None,
        can_segment=run is None,
        can_cancel=run is not None and not run.cancelling,
        can_resume=bool(state.unfinished) and state.unfinished in message,
    )


def _message(state: PanelState, now: float) -> tuple[str, Severity, str]:
    if not state.outdated or state.run is not None:
        return _message_with_objects(state, now)
    # Without how many were found, which is no longer true.
    text, severity, details = _main_message(state, now)
    severity = "warning" if severity == "info" else severity
    if FIND_OBJECTS not in text:  # such as the reason why they were not exported
        text = f"{text} {OUTDATED}"
    return text, severity, details


def _message_with_objects(state: PanelState, now: float) -> tuple[str, Severity, str]:
    objects = state.objects
    if objects is None or state.run is not None:
        return _main_message(state, now)
    text, details = split_message(objects.text)
    if state.notice is None and state.end is None:
        return text, objects.severity, details
    first, severity, more = _main_message(state, now)
    severity = objects.severity if severity == "info" else severity
    return f"{first} {text}", severity, "\n".join(part for part in (more, details) if part)


def _main_message(state: PanelState, now: float) -> tuple[str, Severity, str]:
    notice = state.notice
    if state.run is not None:
        text = _run_text(state.run, now)
        if notice is None or now > notice.time + NOTICE_SECONDS:
            return text, "info", ""
        first, details = split_message(notice.text)
        return f"{text}. {first}", notice.severity, details
    if notice is not None:
        first, details = split_message(notice.text)
        return _with_doubt(state, first, notice.severity, details)
    if state.end is not None:
        return _end_message(state, state.end)
    if not state.image:
        text = "No image is open: drop an image stack onto the window, or open the sample stack."
        return text, "info", ""
    if state.unfinished:
        return state.unfinished, "info", ""
    if state.view_problem:
        return state.view_problem, "warning", ""
    if not state.annotated:
        return (
            "No annotation yet: go to a frame that shows your class, and choose how to draw on it.",
            "info",
            "",
        )
    if state.incomplete:
        return state.incomplete, "warning", ""
    if state.preview_problem:
        return state.preview_problem, "info", ""
    return "Ready: press Segment stack when the class is drawn.", "info", ""


def _with_doubt(
    state: PanelState, text: str, severity: Severity, details: str
) -> tuple[str, Severity, str]:
    """Return a message that also warns of an incomplete mask, unless it is a warning itself."""
    if not state.incomplete or severity != "info":
        return text, severity, details
    return f"{text} {_short(state.incomplete)}", "warning", details


def _short(warning: str) -> str:
    """Return the first sentence of a warning."""
    return f"{warning.partition('. ')[0].removesuffix('.')}."


def _run_text(run: RunState, now: float) -> str:
    seconds = now - run.stage_started
    times = [format_elapsed(seconds)] if seconds >= 1 else []
    if run.left is not None and not run.cancelling:
        left, estimated = run.left
        times.append(time_left(max(left - (now - estimated), 0)))
    text = "Cancelling…" if run.cancelling else run.progress.message
    return f"{text} ({', '.join(times)})" if times else text


def _end_message(state: PanelState, end: RunEnd) -> tuple[str, Severity, str]:
    text, severity, details = _end_text(state, end)
    if severity == "info":
        # Settings that were changed since the run.
        text = " ".join(filter(None, (text, state.preview_problem)))
        if end.warning:
            first, details = split_message(end.warning)
            return f"{text} {first}", "warning", details
    return _with_doubt(state, text, severity, details)


def _end_text(state: PanelState, end: RunEnd) -> tuple[str, Severity, str]:
    frames = finished_frames(end.done, end.total)
    match end.outcome:
        case "done":
            settings = f", with {end.settings}" if end.settings else ""
            name = f" into '{state.layers[end.layer]}'" if end.layer in state.layers else ""
            return (
                f"Segmented {frames}{name} in {format_elapsed(end.seconds)}{settings}.",
                "info",
                "",
            )
        case "cancelled":
            kept = f"{frames} {'is' if end.done == 1 else 'are'} kept"
            kept = kept if end.done else "no frame was finished"
            reason = f" {end.message}" if end.message else ""
            text = f"Cancelled{reason}: {kept}."
            return " ".join(filter(None, (text, state.unfinished))), "info", ""
        case outcome:
            first, details = split_message(end.message)
            first = " ".join(filter(None, (first, state.unfinished)))
            return first, "warning" if outcome == "refused" else "error", details


def _estimates(quality: Quality) -> list[str]:
    return [ESTIMATES, *map(escape, quality.details)] if quality.details else []


def _engine(state: PanelState) -> str:
    worker = WORKER_TEXTS[state.worker] if state.worker is not None else ""
    text = " · ".join(part for part in (state.device, worker) if part)
    return text[:1].upper() + text[1:]


def _progress(state: PanelState) -> tuple[int, int, str]:
    ended = state.end.progress if state.end is not None else None
    last = state.run.progress if state.run is not None else ended
    if last is None:
        return 0, 1, ""
    text = f"{last.done} of {count(last.total, 'frame')}"
    if not last.tiles:
        return last.done, last.total, text
    return last.done * last.tiles + last.tile - 1, last.total * last.tiles, text
