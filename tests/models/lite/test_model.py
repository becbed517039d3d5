"""`lite` with its packaged weights: any size, any number of classes and references."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_vrp_sam.annotations.simulate import simulate_annotation
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.samples import sample_stack
from napari_vrp_sam.models.base import EncodedReference
from napari_vrp_sam.models.calibration import ClassCalibration
from napari_vrp_sam.models.lite.model import LiteModel
from napari_vrp_sam.models.lite.network import LiteNetwork
from napari_vrp_sam.models.lite.parts import LOGIT_LIMIT, LiteConfig
from napari_vrp_sam.models.lite.prepared_class import PreparedClass
from napari_vrp_sam.models.probe.encoded_shots import shot_from_reference
from napari_vrp_sam.models.weights.checkpoints import Checkpoint, write_checkpoint
from napari_vrp_sam.models.zoo.registry import load_model

TINY = LiteConfig(dim=32, queries=4, heads=2, decoder_depth=1, decoder_mlp=64)


@pytest.fixture(scope="module")
def model() -> LiteModel:
    shipped = load_model("lite")
    assert isinstance(shipped, LiteModel)
    return shipped


@pytest.fixture(scope="module")
def sample() -> tuple[Tensor, Tensor]:
    """Frames (Z, 3, Y, X) in 0..1, and their ground truth (Z, Y, X)."""
    stack, ground_truth = sample_stack(size=192, frames=3)
    frames = torch.from_numpy(stack.astype(np.float32) / 255)
    return frames[:, None].repeat(1, 3, 1, 1), torch.from_numpy(ground_truth > 0)


@pytest.fixture(scope="module")
def prepared(model: LiteModel, sample: tuple[Tensor, Tensor]) -> list[PreparedClass]:
    """The class, prepared with the second frame as reference."""
    frames, ground_truth = sample
    return model.prepare([reference(model, frames[1], ground_truth[1])])


def reference(
    model: LiteModel, image: Tensor, mask: Tensor, class_id: int = 1, **options: Any
) -> EncodedReference:
    return EncodedReference(model.encode(image[None]), mask.float(), class_id, **options)


def segment(model: LiteModel, frame: Tensor, references: Sequence[EncodedReference]) -> Tensor:
    """Return probabilities (K, Y, X)."""
    return predict(model, frame, model.prepare(references))


def predict(model: LiteModel, frame: Tensor, prepared: Sequence[PreparedClass]) -> Tensor:
    """Return probabilities (K, Y, X)."""
    features = model.encode(frame[None])
    return model.decode(features, model.prompt(features, prepared)).sigmoid()


def square(shape: tuple[int, int], start: int, stop: int) -> Tensor:
    mask = torch.zeros(shape)
    mask[start:stop, start:stop] = 1
    return mask


def iou(actual: Tensor, ground_truth: Tensor) -> float:
    return float((actual & ground_truth).sum() / (actual | ground_truth).sum())


@pytest.mark.parametrize("kind", ["mask", "scribble", "point"])
def test_an_annotated_frame_segments_the_next(
    model: LiteModel, sample: tuple[Tensor, Tensor], kind: str
) -> None:
    frames, ground_truth = sample
    drawn = torch.from_numpy(
        simulate_annotation(ground_truth[1].numpy(), kind, np.random.default_rng(0))
    )
    marked = replace(reference(model, frames[1], drawn, kind=kind), image=frames[1])
    actual = segment(model, frames[0], [marked])[0] > 0.5
    chance = float(ground_truth[0].float().mean())
    assert (
        iou(actual, ground_truth[0]) > {"mask": 0.5, "scribble": 0.35, "point": 0.25}[kind] > chance
    )


def test_augmented_views_change_the_result_reproducibly(
    model: LiteModel, sample: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "effort", 0.2)
    target, image, ground_truth = sample[0][0, :, :64, :80], sample[0][1, :, :64, :80], sample[1][1]
    without_image = reference(model, image, ground_truth[:64, :80])
    with_image = replace(without_image, image=image)
    without, first, again = (
        segment(model, target, [r]) for r in (without_image, with_image, with_image)
    )
    assert (first - without).abs().max() > 0.05
    torch.testing.assert_close(again, first, rtol=0, atol=0)


@pytest.mark.parametrize("shape", [(16, 16), (17, 45), (50, 90)])
@pytest.mark.parametrize("pseudo_mask", ["probe", "correlation"])
def test_frames_of_any_size(
    sample: tuple[Tensor, Tensor], shape: tuple[int, int], pseudo_mask: Any
) -> None:
    model = load_model("lite", pseudo_mask=pseudo_mask)
    frame = sample[0][0, :, : shape[0], : shape[1]]
    actual = segment(model, frame, [reference(model, frame, square(shape, 2, 12))])
    assert actual.shape == (1, *shape)
    assert torch.isfinite(actual).all()
    assert actual[0, 2:12, 2:12].mean() > actual[0, 13:].mean()


def test_padding_does_not_change_the_result(
    model: LiteModel, sample: tuple[Tensor, Tensor], prepared: list[PreparedClass]
) -> None:
    """A frame of any size gives the same as with its border replicated up to the padded size."""
    frames, _ = sample
    odd = frames[0, :, :100, :140]
    repeated = F.pad(odd[None], (0, 20, 0, 28), mode="replicate")
    logits = [
        model.decode(features, model.prompt(features, prepared))
        for features in (model.encode(odd[None]), model.encode(repeated))
    ]
    torch.testing.assert_close(logits[0], logits[1][:, :100, :140], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("top", "difference", "overlap"), [(16, 0.02, 0.9), (4, 0.06, 0.75)])
def test_a_crop_gives_nearly_the_same_as_the_frame(
    model: LiteModel,
    sample: tuple[Tensor, Tensor],
    prepared: list[PreparedClass],
    top: int,
    difference: float,
    overlap: float,
) -> None:
    """Compared away from the borders; with the crop on the grid of the embedding, and off it."""
    frames, _ = sample
    whole = predict(model, frames[0], prepared)[0, top : top + 160, :160]
    crop = predict(model, frames[0, :, top : top + 160, :160], prepared)[0]
    whole, crop = whole[16:144, 16:144], crop[16:144, 16:144]
    assert (whole - crop).abs().mean() < difference
    assert iou(crop > 0.5, whole > 0.5) > overlap


def test_classes_are_independent(
    model: LiteModel, sample: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With equal numbers of references each class has the logits that it has alone."""
    monkeypatch.setattr(model, "effort", 0.2)
    frames, ground_truth = sample
    first = reference(model, frames[1], ground_truth[1], class_id=7)
    second = reference(model, frames[1], ~ground_truth[1], class_id=2)
    both = segment(model, frames[0], [first, second])
    assert both.shape[0] == 2
    # Ascending by class, independently of the order of the references.
    torch.testing.assert_close(both[:1], segment(model, frames[0], [second]), rtol=0, atol=1e-3)
    torch.testing.assert_close(both[1:], segment(model, frames[0], [first]), rtol=0, atol=1e-3)


@pytest.mark.slow
def test_classes_may_have_different_numbers_of_references(
    model: LiteModel, sample: tuple[Tensor, Tensor]
) -> None:
    frames, ground_truth = sample
    many = [reference(model, frames[i], ground_truth[i], 1, frame=i) for i in (1, 2)]
    many.append(reference(model, frames[1, :, :100, :70], ground_truth[1, :100, :70], 1))
    few = [reference(model, frames[1], ~ground_truth[1], 2, frame=1)]
    together = segment(model, frames[0], [*many, *few])
    torch.testing.assert_close(together[:1], segment(model, frames[0], many), rtol=0, atol=1e-3)
    # The class with fewer references repeats its tokens, which changes its result slightly.
    alone = segment(model, frames[0], few)
    assert (together[1:] - alone).abs().mean() < 0.05
    assert iou(together[1] > 0.5, alone[0] > 0.5) > 0.9


def test_the_same_annotation_gives_the_same_result(
    model: LiteModel, sample: tuple[Tensor, Tensor]
) -> None:
    frames, ground_truth = sample
    references = [reference(model, frames[1], ground_truth[1], kind="scribble")]
    state = torch.get_rng_state()
    first = segment(model, frames[0], references)
    torch.manual_seed(123)
    torch.testing.assert_close(segment(model, frames[0], references), first, rtol=0, atol=0)
    torch.set_rng_state(state)


def test_a_mixture_lies_between_decoder_and_pseudo_mask(
    model: LiteModel, sample: tuple[Tensor, Tensor], prepared: list[PreparedClass]
) -> None:
    features = model.encode(sample[0][:1])
    pseudo, half, decoded = (
        model.decode(
            features,
            model.prompt(
                features, [replace(p, calibration=ClassCalibration(share)) for p in prepared]
            ),
        )
        for share in (0.0, 0.5, 1.0)
    )
    torch.testing.assert_close(half, (pseudo + decoded) / 2)
    upscaled = F.interpolate(
        model.prompt(features, prepared).pseudo_mask, (192, 192), mode="bilinear"
    )
    torch.testing.assert_close(pseudo, upscaled[:, 0])
    assert (decoded - pseudo).abs().max() > 0.1


def test_every_class_has_its_own_calibration(
    model: LiteModel, sample: tuple[Tensor, Tensor], prepared: list[PreparedClass]
) -> None:
    features = model.encode(sample[0][:1])
    (single,) = prepared
    pair = [
        replace(single, class_id=1, calibration=ClassCalibration(0.0, offset=-0.5)),
        replace(single, calibration=ClassCalibration(0.6, offset=0.4)),
    ]
    together = model.decode(features, model.prompt(features, pair))
    for number, one in enumerate(pair):
        alone = model.decode(features, model.prompt(features, [one]))
        torch.testing.assert_close(together[number : number + 1], alone, rtol=0, atol=1e-3)
    assert (together[0] - together[1]).abs().max() > 0.1


def test_a_fixed_decoder_share_replaces_the_calibration(sample: tuple[Tensor, Tensor]) -> None:
    frames, ground_truth = sample
    given = LiteModel(LiteNetwork(TINY), decoder_share=0.3)
    (prepared,) = given.prepare([reference(given, frames[1], ground_truth[1])])
    assert prepared.calibration == ClassCalibration(0.3)
    features = given.encode(frames[:1])
    assert given.prompt(features, [prepared]).calibrations == (ClassCalibration(0.3),)


def test_logits_are_shifted_as_calibrated(
    model: LiteModel, sample: tuple[Tensor, Tensor], prepared: list[PreparedClass]
) -> None:
    features = model.encode(sample[0][:1])
    unchanged, shifted = (
        model.decode(
            features, model.prompt(features, [replace(p, calibration=c) for p in prepared])
        )
        for c in (
            ClassCalibration(0.4),
            ClassCalibration(0.4, offset=0.7),
        )
    )
    torch.testing.assert_close(shifted, unchanged + 0.7)


def test_the_correlation_does_not_use_the_calibration_of_the_probe(
    sample: tuple[Tensor, Tensor],
) -> None:
    frames, ground_truth = sample
    model = load_model("lite", pseudo_mask="correlation")
    (prepared,) = model.prepare([reference(model, frames[1], ground_truth[1])])
    assert prepared.calibration.expected_iou is not None
    prompts = model.prompt(model.encode(frames[:1]), [prepared])
    kept = prepared.calibration
    expected = ClassCalibration(kept.decoder_share, look_alikes=kept.look_alikes)
    assert prompts.calibrations == (expected,)


def test_the_correlation_compares_the_deepest_features(sample: tuple[Tensor, Tensor]) -> None:
    """A frame whose every pixel is annotated has the highest correlation with itself."""
    model = load_model("lite", pseudo_mask="correlation")
    frames, _ = sample
    everywhere = reference(model, frames[0], torch.ones(192, 192))
    features = everywhere.features
    same_frame = model.prompt(features, model.prepare([everywhere])).pseudo_mask
    torch.testing.assert_close(same_frame, torch.full_like(same_frame, 0.5 * LOGIT_LIMIT))
    other = model.prompt(model.encode(frames[2:]), model.prepare([everywhere])).pseudo_mask
    assert other.max() < same_frame.min()
    with pytest.raises(InputError, match="Unknown pseudo-mask 'guess'"):
        LiteModel(pseudo_mask="guess")


def test_shots_contain_marks_of_other_classes_and_ignored_pixels(
    model: LiteModel, sample: tuple[Tensor, Tensor]
) -> None:
    image, shape = sample[0][0, :, :50, :90], (50, 90)
    ignored = square(shape, 30, 40) > 0
    first = reference(model, image, square(shape, 0, 6), 1, kind="point", frame=3, ignored=ignored)
    first = replace(first, image=image)
    second = reference(model, image, square(shape, 4, 10), 2, kind="point", frame=3)
    shot = shot_from_reference(first, [first, second])
    expected = square(shape, 4, 10) * (1 - square(shape, 0, 6))
    torch.testing.assert_close(shot.excluded[0, :50, :90], expected)
    torch.testing.assert_close(shot.known[0, :50, :90], 1 - ignored.float())
    assert shot_from_reference(first, [first]).excluded.sum() == 0
    assert shot.maps[0].shape[-2:] == (32, 48)
    assert shot.maps is first.features.semantic
    assert shot.image is image
    assert shot_from_reference(second, [first, second]).image is None


def weights(network: LiteNetwork, **metadata: str) -> Checkpoint:
    return Checkpoint(network.state_dict(), {**network.config.as_metadata(), **metadata})


def test_a_weights_file_contains_the_sizes(tmp_path: Path) -> None:
    network = LiteNetwork(TINY)
    with torch.no_grad():
        network.residual_gain.fill_(0.25)
    checkpoint = weights(network, kind="lite")
    path = tmp_path / "tuned.safetensors"
    halves = {n: t.half() if t.is_floating_point() else t for n, t in checkpoint.tensors.items()}
    write_checkpoint(path, halves, checkpoint.metadata)
    loaded = load_model(path)
    assert isinstance(loaded, LiteModel)
    assert loaded.network.config == TINY
    assert loaded.decoder_share is None
    for name, value in loaded.network.state_dict().items():
        torch.testing.assert_close(value, network.state_dict()[name], rtol=1e-3, atol=1e-6)
    assert not any(p.requires_grad for p in loaded.network.parameters())
    assert not loaded.network.training


def test_weights_of_other_models_are_refused(tmp_path: Path) -> None:
    network = LiteNetwork(TINY)
    with pytest.raises(InputError, match="another shape"):
        LiteModel.from_checkpoint(weights(network, dim="64"))
    with pytest.raises(InputError, match="damaged"):
        LiteModel.from_checkpoint(weights(network, dim="wide"))
    cut = weights(network)
    del cut.tensors["residual_gain"]
    with pytest.raises(InputError, match="'residual_gain'"):
        LiteModel.from_checkpoint(cut)
    path = tmp_path / "other.safetensors"
    write_checkpoint(path, network.state_dict(), {"kind": "vrp-encoder"})
    with pytest.raises(InputError, match="does not hold weights of 'lite'"):
        load_model("lite", weights=path)
    write_checkpoint(path, network.state_dict(), {"kind": "diffusion"})
    with pytest.raises(InputError, match="unknown kind of model, 'diffusion'"):
        load_model(path)
