"""Fine-tuning on thin objects, whose frames are enlarged for the model and for the head."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_vrp_sam.annotations.labels import references_from_labels
from napari_vrp_sam.fine_tuning.data.annotated_frames import annotated_frames
from napari_vrp_sam.fine_tuning.run import fine_tune_events, tunable_model
from napari_vrp_sam.fine_tuning.tunable.base import encode_annotated_frames
from napari_vrp_sam.inference.normalisation import Normalisation
from napari_vrp_sam.inference.runs.control import Control
from napari_vrp_sam.models.zoo.registry import load_model

CPU = torch.device("cpu")
NORMALISATION = Normalisation((0.0,), (255.0,))


@pytest.fixture
def thin_job(job_of):
    """A job whose objects are lines of two pixels."""
    job = job_of()
    labels = np.zeros((72, 80), np.uint8)
    labels[::12] = labels[1::12] = 1
    image = (40 + 120 * labels).astype(np.uint8)
    stack = np.stack([image] * 2)
    return replace(job, data=stack, references=references_from_labels(labels, image, frame=0))


def frames_of(job):
    return annotated_frames(job.references, NORMALISATION)


@pytest.mark.parametrize("parts", [None, "decoder"])
def test_crops_show_thin_objects_at_double_size(thin_job, recipe, base, parts):
    """Edges are fewer in crops of enlarged lines; their share of the area is the same."""

    def share_of_edges(zoom):
        tunable = tunable_model(
            load_model(base), replace(thin_job, parts=parts), recipe, NORMALISATION
        )
        assert tunable.model.zoom == 2
        tunable.model.zoom = zoom
        if parts is None:
            tunable.head.zoom = zoom
        stream = tunable.stream(frames_of(thin_job), 0)
        masks = [stream.batch(step)["target_masks"].flatten(0, -3).float() for step in range(8)]
        changes = [m.diff(dim=-1).abs().mean() + m.diff(dim=-2).abs().mean() for m in masks]
        return float(torch.stack(changes).mean())

    assert share_of_edges(2) < 0.7 * share_of_edges(1)


def test_scribbles_on_thin_objects_enlarge_the_frames(thin_job, recipe, base):
    (reference,) = thin_job.references
    scribbles = reference.mask * (np.arange(80) % 20 < 10)
    job = replace(thin_job, references=[replace(reference, mask=scribbles, kind="scribble")])
    assert tunable_model(load_model(base), job, recipe, NORMALISATION).head.zoom == 2


def test_base_and_head_are_validated_at_the_size_of_the_frames(thin_job, recipe, base):
    tunable = tunable_model(load_model(base), thin_job, recipe, NORMALISATION)
    assert tunable.head.zoom == 2
    frames = frames_of(thin_job)
    references = encode_annotated_frames(tunable, frames, CPU)
    image = torch.from_numpy(frames[0].image)
    (logits,) = tunable.evaluation(references, [image]).logits()
    assert logits.shape == (1, 72, 80)


def test_a_tuned_model_enlarges_frames_for_its_head_whatever_it_learns(thin_job, job_of, recipe):
    for _ in fine_tune_events(thin_job, Control(), recipe=recipe):
        pass
    model = load_model(thin_job.output)
    assert model.head.zoom == 2
    frame = torch.rand(1, 3, 72, 80)
    maps = []
    for mask in (thin_job.references[0].mask, job_of().references[0].mask):
        model.adapt([mask > 0.5])
        maps.append(model.encode(frame).semantic[-1])
    assert torch.equal(*maps)
    assert maps[0].shape[-2:] == (96, 96)  # the padded size of the frame
