"""Parts of a model that are trained, by the kind of model."""

from __future__ import annotations

import pytest
import torch
from tests.tiny_sam import build_tiny_sam

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.fine_tuning.run import tunable_model
from napari_vrp_sam.inference.normalisation import Normalisation
from napari_vrp_sam.models.lite.dense_head import LiteHead
from napari_vrp_sam.models.sam.full_size_model import FullSizeModel
from napari_vrp_sam.models.sam.prompting import TUNED_DECODER_PROMPTING
from napari_vrp_sam.models.vrp.semantic_encoders import EfficientNetLite0
from napari_vrp_sam.models.zoo.registry import load_model
from napari_vrp_sam.testing import PixelModel

NORMALISATION = Normalisation((0.0,), (255.0,))


def test_lora_is_rejected_for_files_of_lite(job_of, base, recipe):
    with pytest.raises(InputError, match="'lite' does not have"):
        tunable_model(load_model(base), job_of(parts="lora"), recipe, NORMALISATION)


def test_other_models_cannot_be_fine_tuned(job_of, recipe):
    with pytest.raises(InputError, match="cannot be fine-tuned: choose 'lite'"):
        tunable_model(PixelModel(), job_of(), recipe, NORMALISATION)


@pytest.mark.parametrize(("classes", "continued"), [((1, 2), True), ((1, 3), False)])
def test_the_head_of_a_tuned_model_is_trained_further_for_the_same_classes(
    job_of, base, recipe, classes, continued
):
    model = load_model(base)
    model.head = LiteHead.from_network(model.network, classes, zoom=1)
    with torch.no_grad():
        for parameter in model.head.parameters():
            parameter.add_(0.5)
    before = {name: tensor.clone() for name, tensor in model.head.state_dict().items()}
    tunable = tunable_model(model, job_of(), recipe, NORMALISATION)
    assert tunable.head.class_ids == (1, 2)
    assert tunable.head is not model.head  # the model beside it stays as it is
    after = tunable.head.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before) == continued


def test_a_model_that_segments_object_by_object_learns_masks_of_classes(job_of, recipe):
    model = FullSizeModel(
        "vit_b", build_tiny_sam(), EfficientNetLite0(), semantic_side=128, prompting="objects"
    )
    tunable = tunable_model(model.eval(), job_of(), recipe, NORMALISATION)
    assert tunable.model.prompting == TUNED_DECODER_PROMPTING
