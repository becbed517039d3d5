"""Preparation of the worker process while the user annotates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_vrp_sam.inference.runs.process.engine import ProcessEngine

if TYPE_CHECKING:
    from napari_vrp_sam.inference.runs.engine import Engine
    from napari_vrp_sam.plugin.inputs.segment_form import SegmentForm
    from napari_vrp_sam.plugin.segment.jobs import JobFactory


class WarmUp:
    """Let the worker load the model and encode the frame in view before the first run.

    Parameters
    ----------
    engine : Engine
        Only a `ProcessEngine` is prepared.
    form : SegmentForm
    jobs : JobFactory
    """

    def __init__(self, engine: Engine, form: SegmentForm, jobs: JobFactory) -> None:
        self._engine = engine
        self._form = form
        self._jobs = jobs
        self._prepared: object = None

    def request(self) -> None:
        """Prepare the worker for the chosen image and model, unless that was done already."""
        if not isinstance(self._engine, ProcessEngine):
            return
        process = self._engine.warm_up().process
        job = self._jobs.prepare()
        if job is None:
            return
        # Frames are not encoded again for every frame that the user looks at.
        image = self._form.image_box.layer
        shown = None if image is None else image.unique_id
        prepared = process.pid, shown, job.model, job.prompting, job.device
        if prepared != self._prepared:
            self._prepared = prepared
            self._engine.submit(job)
