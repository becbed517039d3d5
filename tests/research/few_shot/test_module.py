"""The module does what the model does, and trains the VRP encoder alone."""

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
from napari_vrp_sam.research.few_shot.batches import PairStream, labels_on_canvas
from napari_vrp_sam.research.few_shot.embeddings import EmbeddingCache, digest
from napari_vrp_sam.research.few_shot.encoding import as_frame, encode_images
from napari_vrp_sam.research.few_shot.frozen_sam import Canvas, FrozenSam
from napari_vrp_sam.research.few_shot.module import VRPModule
from napari_vrp_sam.research.few_shot.pairs import TrainingPairs
from napari_vrp_sam.research.few_shot.recipe import Recipe
from napari_vrp_sam.training.losses import bce_loss, dice_loss


@pytest.fixture
def make(pascal, build, embeddings_folder):
    """The stream, the module and the model that they belong to."""

    def made(steps=3, **changes):
        recipe = Recipe.published("pascal5i", **{"batch_size": 2, "queries": 6, **changes})
        model = build()
        pairs = TrainingPairs(pascal, 1, references=recipe.references)
        sam = digest(model.sam)
        embeddings = EmbeddingCache(embeddings_folder, "pascal5i", sam, [pairs.images])
        encode_images(embeddings, model.sam, pascal, torch.device("cpu"))
        stream = partial(PairStream, pascal, pairs, embeddings, Canvas.of(model), recipe, steps)
        torch.manual_seed(5)
        encoder = VRPEncoder(152, 64, queries=6, initialisation=recipe.initialisation)
        frozen = FrozenSam(model)
        module = VRPModule(frozen, encoder, steps, learning_rate=1e-3, loss=recipe.loss)
        return stream, module, model

    return made


@torch.no_grad()
@pytest.mark.parametrize("initialisation", ["random", "half"])
def test_a_batch_gives_what_the_model_gives_image_by_image(make, pascal, initialisation):
    stream, module, model = make(references=2, initialisation=initialisation)
    model = FullSizeModel(
        "vit_b", model.sam, model.semantic, module.vrp_encoder, semantic_side=96,
        pseudo_mask="correlation",
    ).eval()  # fmt: skip
    batch = stream().batch(0)
    # As coarse as they are decoded: nothing is resized.
    logits = module.eval()({**batch, "target_masks": torch.zeros(2, 64, 64)})
    for row in range(2):
        pair = stream().pairs.pair(row)
        references = []
        for image_id in pair.references:
            truth = pascal.mask("train", image_id, pair.class_id) == 1
            features = model.encode(as_frame(pascal.image("train", image_id)))
            mask = torch.from_numpy(truth.astype(np.float32))
            references.append(EncodedReference(features, mask, 1))
        target = model.encode(as_frame(pascal.image("train", pair.target)))
        prompts = model.prompt(target, model.prepare(references))
        wanted = decode_masks(
            model.sam.mask_decoder,
            target.embedding,
            model.sam.prompt_encoder.get_dense_pe(),
            prompts.sparse,
            prompts.dense,
        )[0, 0]
        # Embeddings are kept with half of the digits.
        assert (logits[row] - wanted).abs().max() < 0.05 * wanted.std()
        truth = pascal.mask("train", pair.target, pair.class_id)
        labels = labels_on_canvas(truth, 96)
        assert torch.equal(batch["target_masks"][row], (labels == 1).float())
        assert torch.equal(batch["valid"][row], labels != IGNORED)


@pytest.mark.filterwarnings("ignore:You are trying to")  # to log, without a trainer
def test_what_is_frozen_stays(make):
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
def test_the_loss_is_the_one_that_was_chosen(make):
    stream, module, _ = make()
    batch = stream().batch(1)
    module.vrp_encoder.eval()  # without dropout
    with torch.no_grad():
        logits = module(batch)
        parts = [
            part(logits, batch["target_masks"], batch["valid"]) for part in (bce_loss, dice_loss)
        ]
        for loss, wanted in (("bce", parts[0]), ("dice", parts[1]), ("both", sum(parts))):
            module.loss = loss
            torch.testing.assert_close(module.training_step(batch), wanted)


def test_the_rate_falls_to_0_as_a_cosine(make):
    _, module, _ = make(steps=4)
    configured = module.configure_optimizers()
    optimiser, schedule = configured["optimizer"], configured["lr_scheduler"]["scheduler"]
    rates = []
    for _ in range(4):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    wanted = [1e-3 * (1 + np.cos(np.pi * step / 4)) / 2 for step in range(4)]
    assert rates == pytest.approx(wanted)
    assert optimiser.param_groups[0]["lr"] == pytest.approx(0)
    assert optimiser.param_groups[0]["weight_decay"] == 1e-6


@pytest.mark.parametrize("kind", ["mask", "box", "scribble", "point"])
def test_batches_are_the_same_for_every_number_of_workers(make, kind):
    stream, _, _ = make(annotation=kind)
    whole = list(stream())
    assert [batch["step"] for batch in whole] == [0, 1, 2]
    assert next(iter(stream(start=2)))["step"] == 2
    loaded = list(DataLoader(stream(), batch_size=None, num_workers=2))
    # Two devices of one episode each see what one of two sees.
    for mine, others in zip(whole, loaded, strict=True):
        for name in ("references", "reference_masks", "targets", "embeddings", "target_masks"):
            assert torch.equal(mine[name], others[name])
        assert (mine["reference_masks"].amax(dim=(1, 2, 3)) == 1).all()


def test_devices_share_the_episodes_out(make):
    stream, _, _ = make()
    ranks = [stream(rank=rank, world=2).batch(0)["targets"] for rank in range(2)]
    alone = [stream().batch(step)["targets"] for step in range(2)]
    assert torch.equal(torch.cat(ranks), torch.cat(alone))


def test_a_canvas_ignores_what_is_no_image():
    labels = np.zeros((20, 40), np.uint8)
    labels[:10] = 1
    canvas = labels_on_canvas(labels, 16)
    assert (canvas[:4] == 1).all()
    assert (canvas[4:8] == 0).all()
    assert (canvas[8:] == IGNORED).all()
