"""Built-in models and user models by name, and `load_model`."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.models.sam.prompting import (
    PROMPTINGS,
    TUNED_DECODER_PROMPTING,
    default_prompting,
)
from napari_vrp_sam.models.weights import catalogue
from napari_vrp_sam.models.weights.catalogue import (
    MASK_DECODER_PREFIX,
    TIMM_PREFIX,
    VRP_ENCODER_SUFFIXES,
    base_model_name,
)
from napari_vrp_sam.models.weights.headers import (
    WEIGHTS_SUFFIXES,
    Header,
    missing_file_error,
    not_a_weights_file_error,
    read_header,
    sam_variant,
)
from napari_vrp_sam.models.weights.model_spec import PACKAGED, ModelSpec
from napari_vrp_sam.models.zoo.derived_specs import timm_spec, user_model_spec
from napari_vrp_sam.models.zoo.loading import load_full_size, load_lite, load_probe_model
from napari_vrp_sam.models.zoo.user_models import list_user_models

# Importing this module does not import torch: models are also listed without loading one.
if TYPE_CHECKING:
    import torch

    from napari_vrp_sam.models.base import Model
    from napari_vrp_sam.models.sam.prompting import Prompting
    from napari_vrp_sam.models.vrp.pseudo_mask import PseudoMaskKind
    from napari_vrp_sam.models.weights.downloads import DownloadProgress


def list_models() -> tuple[ModelSpec, ...]:
    """Return the models that `load_model` knows by name: the default first, user models last."""
    usable = (user_model_spec(model) for model in list_user_models() if not model.problem)
    return *catalogue.BUILT_IN, *usable


def model_spec(name: str) -> ModelSpec:
    """Return the model of a given name.

    Raises
    ------
    InputError
        If the model does not exist or its file is damaged.
    """
    spec = _find_spec(name)
    if spec is not None:
        return spec
    for model in list_user_models():
        if model.name == name:
            raise InputError(f"The model '{name}' cannot be used: {model.problem}")
    names = ", ".join(spec.name for spec in list_models())
    raise InputError(
        f"There is no model '{name}': choose one of {names}, or give the path of a weights file."
    )


def weights_file(model: str) -> Path | None:
    """Return the weights file of a model given by name or path; None if it is built in."""
    spec = _find_spec(model)
    if spec is not None:
        return spec.user_weights
    return Path(model) if is_weights_path(model) else None


def missing_model_message(model: str, *, owner: Literal["session", "segmenter"] = "session") -> str:
    """Return a message if the model of a session or segmenter does not exist, or else ""."""
    advice = "choose another model" if owner == "session" else "fit it again with another model"
    if is_weights_path(model):
        if _is_file(model):
            return ""
        return f"The {owner}'s model is no longer at {model:.300}: {advice}."
    try:
        model_spec(model)
    except InputError:
        return f"The {owner}'s model '{model:.300}' does not exist: import it or {advice}."
    return ""


def is_weights_path(model: str) -> bool:
    """Return whether a model is given by the path of a weights file rather than by name."""
    return _find_spec(model) is None and (
        model.endswith(WEIGHTS_SUFFIXES) or _is_file(model) or len(Path(model).parts) > 1
    )


def _is_file(model: str) -> bool:
    try:
        return Path(model).is_file()
    except OSError:  # the name is too long, for example
        return False


def describe_prompting(model: str, prompting: Prompting | None = None) -> str:
    """Describe how SAM is prompted in a model, in one or two sentences.

    Parameters
    ----------
    model : str
    prompting : Prompting, optional

    Returns
    -------
    str
        Empty for `lite`, which chooses its prompts itself, and for a model that does not exist.
    """
    try:
        base, header = _base_and_header(model)
    except InputError:
        return ""  # the error is reported when the model is loaded
    if base.sam_weights is None:
        return ""
    trained = _has_vrp_encoder(header)
    default = default_prompting(trained=trained)
    if header is not None and any(n.startswith(MASK_DECODER_PREFIX) for n in header.shapes):
        default = "vrp" if trained else TUNED_DECODER_PROMPTING
    source = PROMPTINGS[prompting or default]
    if trained:
        return f"SAM is prompted by {source}."
    return (
        "This model has no VRP encoder, because none has been published; SAM is prompted by "
        f"{source}. Fine-tuning adapts its mask decoder to your images."
    )


def offered_promptings(model: str) -> tuple[Prompting, ...]:
    """Return the promptings that a model supports; none for `lite` and for probe models."""
    try:
        base, header = _base_and_header(model)
    except InputError:
        return ()
    if base.sam_weights is None:
        return ()
    return tuple(name for name in PROMPTINGS if name != "vrp" or _has_vrp_encoder(header))


def _has_vrp_encoder(header: Header | None) -> bool:
    # Files of the original code have no header: they hold a VRP encoder and nothing else.
    return header is not None and (
        not header.shapes or any(name.endswith(VRP_ENCODER_SUFFIXES) for name in header.shapes)
    )


def base_spec(model: str) -> ModelSpec:
    """Return the built-in model that a model given by name or path is based on.

    Raises
    ------
    InputError
        If the model does not exist, or its file is damaged or not a weights file.
    """
    return _base_and_header(model)[0]


def file_spec(model: str) -> ModelSpec:
    """Return the entry of a model given by the path of its weights file.

    Raises
    ------
    InputError
        If the file is missing, damaged or not a weights file.
    """
    path = Path(model)
    if not path.is_file():
        raise missing_file_error(path)
    base = base_spec(model)
    if sam_variant(path):
        text = f"SAM ViT-{base.name[-1].upper()}, in a file."
        base = replace(base, description=text, licence="unknown", sam_weights=None)
    return replace(base, name=model, packaged_weights="", user_weights=path)


def load_model(
    name_or_path: str | os.PathLike[str] = "lite",
    *,
    device: str | torch.device = "auto",
    pseudo_mask: PseudoMaskKind | None = None,
    weights: str | os.PathLike[str] | None = None,
    semantic_encoder: str | None = None,
    prompting: Prompting | None = None,
    progress: DownloadProgress | None = None,
) -> Model:
    """Load a model in evaluation mode.

    Parameters
    ----------
    name_or_path : str or path-like, default "lite"
        A name from `list_models`; "timm:" and the name of a network of timm, such as
        "timm:resnet50.a1_in1k"; or the path of a weights file: ours (`.safetensors`), of the
        original VRP-SAM code, or of any SAM (`.pth`, `.pt`), recognised by its tensors.
    device : str or torch.device, default "auto"
        "cpu", "cuda", "mps", or "auto" for the fastest available device.
    pseudo_mask : {"probe", "correlation"}, optional
        Source of the target's pseudo-mask: a classifier fitted to the references, or the paper's
        training-free correlation. Default: the one that the weights file was trained with, or
        else the probe. Files of the original code do not store it; their VRP encoder was trained
        with the correlation.
    weights : str or path-like, optional
        Another weights file for `lite`, or one with a VRP encoder for full-size models; "random"
        leaves the model untrained.
    semantic_encoder : str, optional
        Semantic encoder of a full-size model, a key of `catalogue.SEMANTIC_WEIGHTS`.
    prompting : {"vrp", "objects", "points", "box", "points+box", "persam", "probe"}, optional
        Source of SAM's prompts in a full-size model, see `prompting.PROMPTINGS`. Default: the VRP
        encoder, or without one the objects in the pseudo-mask.
    progress : callable, optional
        Called during downloads with the bytes done, the bytes in total (0 if unknown), and the
        name of the file.

    Returns
    -------
    Model

    Raises
    ------
    InputError
        If the name, file, device, pseudo-mask or prompting is unknown or not supported, or a
        download fails.

    Examples
    --------
    >>> load_model("lite", device="cpu").name
    'lite'
    """
    from napari_vrp_sam.models.devices import resolve_device

    target = resolve_device(device)
    name = os.fspath(name_or_path)
    spec = base_spec(name) if is_weights_path(name) else model_spec(name)
    user_weights = weights_file(name)
    if user_weights is not None:
        if weights is not None:
            raise InputError("Give either a user model or `weights`, not both.")
        weights = user_weights
    model: Any
    if spec.backbone_weights is not None:
        if semantic_encoder or prompting or pseudo_mask == "correlation":
            raise InputError(
                f"'{name}' is a probe model: it has no semantic encoder, prompting or correlation "
                "to choose."
            )
        model = load_probe_model(spec, weights, progress)
    elif spec.sam_weights is None:
        if semantic_encoder not in {None, spec.semantic_encoder}:
            raise InputError(f"'{name}' has a fixed semantic encoder: do not choose another.")
        if prompting is not None:
            raise InputError(
                f"'{name}' has a fixed prompting: do not choose one, or use a full-size model."
            )
        model = load_lite(spec, weights, pseudo_mask or "probe")
    else:
        sam_file = None
        if user_weights is not None and sam_variant(user_weights):
            sam_file, weights = user_weights, None
        model = load_full_size(
            spec, weights, semantic_encoder, pseudo_mask, prompting, progress, sam_file=sam_file
        )
    loaded: Model = model.to(target).eval()
    return loaded


def _find_spec(name: str) -> ModelSpec | None:
    if name.startswith(TIMM_PREFIX):
        return timm_spec(name)
    return next((spec for spec in list_models() if spec.name == name), None)


def _base_and_header(model: str) -> tuple[ModelSpec, Header | None]:
    path = weights_file(model)
    if path is None:
        return model_spec(model), None
    if path.suffix not in WEIGHTS_SUFFIXES:
        raise not_a_weights_file_error(path)
    variant = sam_variant(path)
    if variant is not None:
        base = next(spec for spec in catalogue.BUILT_IN if spec.name == variant)
        return replace(base, semantic_encoder=PACKAGED), Header({}, {"": ()})
    header = read_header(path) if path.suffix == ".safetensors" else Header({}, {})
    return model_spec(base_model_name(header.metadata, path)), header
