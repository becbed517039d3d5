from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from napari_vrp_sam.annotations.labels import IGNORED
from napari_vrp_sam.models.base import EncodedReference
from napari_vrp_sam.models.sam.full_size_model import FullSizeModel
from napari_vrp_sam.models.sam.mask_decoder import decode_masks
from napari_vrp_sam.models.vrp.vrp_encoder import VRPEncoder
from napari_vrp_sam.research.few_shot.batches import FewShotStream, labels_on_canvas
from napari_vrp_sam.research.few_shot.embeddings import EmbeddingCache, module_digest
from napari_vrp_sam.research.few_shot.encoding import encode_images, image_to_tensor
from napari_vrp_sam.research.few_shot.frozen_sam import Canvas, FrozenSam
from napari_vrp_sam.research.few_shot.module import VRPModule
from napari_vrp_sam.research.few_shot.pairs import EpisodeSampler
from napari_vrp_sam.research.few_shot.recipe import Recipe
from napari_vrp_sam.training.losses import bce_loss, dice_loss


@pytest.fixture
def make(pascal, build, embeddings_folder):
    """Function that makes a stream, a module and their model."""

    def made(steps=3, **changes):
        recipe = Recipe.published("pascal5i", **{"batch_size": 2, "queries": 6, **changes})
        model = build()
        sampler = EpisodeSampler(pascal, 1, references=recipe.references)
        sam = module_digest(model.sam)
        embeddings = EmbeddingCache(embeddings_folder, "pascal5i", sam, [sampler.image_ids])
        encode_images(embeddings, model.sam, pascal, torch.device("cpu"))
        stream = partial(
            FewShotStream, pascal, sampler, embeddings, Canvas.from_model(model), recipe, steps
        )
        torch.manual_seed(5)
        encoder = VRPEncoder(152, 64, queries=6, initialisation=recipe.initialisation)
        frozen = FrozenSam(model)
        module = VRPModule(frozen, encoder, steps, learning_rate=1e-3, loss=recipe.loss)
        return stream, module, model

    return made


@torch.no_grad()
@pytest.mark.parametrize("initialisation", ["random", "half"])
def test_the_module_equals_the_model_image_by_image(make, pascal, initialisation):
    stream, module, model = make(references=2, initialisation=initialisation)
    model = FullSizeModel(
        "vit_b", model.sam, model.semantic, module.vrp_encoder, semantic_side=96,
        pseudo_mask="correlation",
    ).eval()  # fmt: skip
    batch = stream().batch(0)
    # The resolution of the mask decoder, so that nothing is resized.
    logits = module.eval()({**batch, "target_masks": torch.zeros(2, 64, 64)})
    for row in range(2):
        episode = stream().sampler.episode(row)
        references = []
        for image_id in episode.references:
            mask = pascal.mask("train", image_id, episode.class_id) == 1
            features = model.encode(image_to_tensor(pascal.image("train", image_id)))
            annotation = torch.from_numpy(mask.astype(np.float32))
            references.append(EncodedReference(features, annotation, 1))
        target = model.encode(image_to_tensor(pascal.image("train", episode.target)))
        prompts = model.prompt(target, model.prepare(references))
        expected = decode_masks(
            model.sam.mask_decoder,
            target.embedding,
            model.sam.prompt_encoder.get_dense_pe(),
            prompts.sparse,
            prompts.dense,
        )[0, 0]
        # Embeddings are stored in bfloat16.
        assert (logits[row] - expected).abs().max() < 0.05 * expected.std()
        labels = labels_on_canvas(pascal.mask("train", episode.target, episode.class_id), 96)
        assert torch.equal(batch["target_masks"][row], (labels == 1).float())
        assert torch.equal(batch["valid"][row], labels != IGNORED)


@pytest.mark.filterwarnings("ignore:You are trying to")  # log without a trainer
def test_only_the_vrp_encoder_is_trained_and_saved(make):
    stream, module, _ = make()
    module.train()
    assert module.vrp_encoder.training
    assert not any(part.training for part in module.frozen.modules())
    before = {name: value.clone() for name, value in module.state_dict().items()}
    optimiser = module.configure_optimizers()["optimizer"]
    module.training_step(stream().batch(0)).backward()
    optimiser.step()
    moved = {n for n, v in module.state_dict().items() if not torch.equal(v, before[n])}
    assert moved == {n for n in before if n.startswith("vrp_encoder.")}
    checkpoint = {"state_dict": module.state_dict()}
    module.on_save_checkpoint(checkpoint)
    assert checkpoint["state_dict"].keys() == moved
    module.on_load_checkpoint(checkpoint)
    assert checkpoint["state_dict"].keys() == before.keys()


@pytest.mark.filterwarnings("ignore:You are trying to")
def test_the_chosen_loss_is_used(make):
    stream, module, _ = make()
    batch = stream().batch(1)
    module.vrp_encoder.eval()  # without dropout
    with torch.no_grad():
        logits = module(batch)
        bce, dice = (
            loss(logits, batch["target_masks"], batch["valid"]) for loss in (bce_loss, dice_loss)
        )
        for name, expected in (("bce", bce), ("dice", dice), ("both", bce + dice)):
            module.loss = name
            torch.testing.assert_close(module.training_step(batch), expected)


def test_the_learning_rate_decays_to_0_as_a_cosine(make):
    _, module, _ = make(steps=4)
    configured = module.configure_optimizers()
    optimiser, schedule = configured["optimizer"], configured["lr_scheduler"]["scheduler"]
    rates = []
    for _ in range(4):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    expected = [1e-3 * (1 + np.cos(np.pi * step / 4)) / 2 for step in range(4)]
    assert rates == pytest.approx(expected)
    assert optimiser.param_groups[0]["lr"] == pytest.approx(0)
    assert optimiser.param_groups[0]["weight_decay"] == 1e-6


@pytest.mark.parametrize("kind", ["mask", "box", "scribble", "point"])
def test_workers_do_not_change_the_batches(make, kind):
    stream, _, _ = make(annotation=kind)
    whole = list(stream())
    assert [batch["step"] for batch in whole] == [0, 1, 2]
    assert next(iter(stream(start=2)))["step"] == 2
    loaded = list(DataLoader(stream(), batch_size=None, num_workers=2))
    for mine, others in zip(whole, loaded, strict=True):
        for name in ("references", "reference_masks", "targets", "embeddings", "target_masks"):
            assert torch.equal(mine[name], others[name])
        assert (mine["reference_masks"].amax(dim=(1, 2, 3)) == 1).all()


def test_devices_take_consecutive_episodes(make):
    stream, _, _ = make()
    ranks = [stream(rank=rank, world_size=2).batch(0)["targets"] for rank in range(2)]
    alone = [stream().batch(step)["targets"] for step in range(2)]
    assert torch.equal(torch.cat(ranks), torch.cat(alone))


def test_the_padding_of_a_canvas_is_ignored():
    labels = np.zeros((20, 40), np.uint8)
    labels[:10] = 1
    canvas = labels_on_canvas(labels, 16)
    assert (canvas[:4] == 1).all()
    assert (canvas[4:8] == 0).all()
    assert (canvas[8:] == IGNORED).all()
