"""The models by name, built in or the user's own, and how to load one."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.models.sam.prompting import PROMPTINGS, default_prompting
from napari_vrp_sam.models.weights import catalogue
from napari_vrp_sam.models.weights.catalogue import (
    SEMANTIC_WEIGHTS,
    VRP_ENCODER_ENDS,
    ModelSpec,
    base_of,
)
from napari_vrp_sam.models.weights.headers import Header, not_a_weights_file, read_header
from napari_vrp_sam.models.zoo.loading import RANDOM, load_full_size, load_lite
from napari_vrp_sam.models.zoo.user_models import UserModel, list_user_models

# torch is imported where a model is loaded: listing models needs none of it.
if TYPE_CHECKING:
    import torch

    from napari_vrp_sam.models.base import Model
    from napari_vrp_sam.models.sam.prompting import Prompting
    from napari_vrp_sam.models.vrp.pseudo_mask import PseudoMaskKind
    from napari_vrp_sam.models.weights.downloads import DownloadProgress

__all__ = [
    "RANDOM",
    "SEMANTIC_WEIGHTS",
    "ModelSpec",
    "base_spec",
    "list_models",
    "load_model",
    "looks_like_a_path",
    "missing_model",
    "model_spec",
    "prompting_note",
    "weights_file",
]

SUFFIXES = (".safetensors", ".pth", ".pt")


def list_models() -> tuple[ModelSpec, ...]:
    """All models that `load_model` knows by name: the default first, the user's own last."""
    own = (_spec_of(model) for model in list_user_models() if not model.problem)
    return *catalogue.BUILT_IN, *own


def model_spec(name: str) -> ModelSpec:
    """The model of a name.

    Raises
    ------
    InputError
        If there is none, or its file is damaged.
    """
    specs = list_models()
    for spec in specs:
        if spec.name == name:
            return spec
    for own in list_user_models():
        if own.name == name:
            raise InputError(f"The model '{name}' cannot be used: {own.problem}")
    names = ", ".join(spec.name for spec in specs)
    raise InputError(
        f"There is no model '{name}': choose one of {names}, or give the path of a weights file."
    )


def weights_file(model: str) -> Path | None:
    """The file that a model given by name or path has its own weights in; None if built in."""
    for spec in list_models():
        if spec.name == model:
            return spec.user_weights
    return Path(model) if looks_like_a_path(model) else None


def missing_model(model: str) -> str:
    """What to tell of a session's model that is not here; empty where all is well."""
    if looks_like_a_path(model):
        gone = not Path(model).exists()
        return f"The session's model is no longer at {model}: choose another." if gone else ""
    try:
        model_spec(model)
    except InputError:
        return (
            f"The session's model '{model}' is not here: bring its file with `vrp-sam models "
            "import`, or choose another."
        )
    return ""


def looks_like_a_path(model: str) -> bool:
    """Whether what is given for a model is a weights file and no name."""
    known = any(spec.name == model for spec in list_models())
    return not known and (
        model.endswith(SUFFIXES) or Path(model).is_file() or len(Path(model).parts) > 1
    )


def prompting_note(model: str, prompting: Prompting | None = None) -> str:
    """What prompts SAM in a model, and how to train it, in a sentence or two; without torch.

    Parameters
    ----------
    model : str
        Name or path.
    prompting : Prompting, optional
        What was chosen.

    Returns
    -------
    str
        Empty for `lite`, which has a way of its own, and for a model that is not there.
    """
    try:
        base, header = _base_and_header(model)
    except InputError:
        return ""  # whoever loads it says what is wrong
    if base.sam_weights is None:
        return ""
    # The paper's code writes no header: its files hold a VRP encoder and nothing else.
    trained = header is not None and (
        not header.shapes or any(name.endswith(VRP_ENCODER_ENDS) for name in header.shapes)
    )
    what = PROMPTINGS[prompting or default_prompting(trained=trained)]
    if trained:
        return f"SAM is prompted by {what}."
    return (
        "There is no VRP encoder in this model, as none was ever published; SAM is prompted by "
        f"{what}. Fine-tuning adapts its mask decoder to your images."
    )


def base_spec(model: str) -> ModelSpec:
    """The built-in model that a model given by name or path is, or is a variant of; without torch.

    Raises
    ------
    InputError
        If there is none, or the file is no weights file or damaged.
    """
    return _base_and_header(model)[0]


def _base_and_header(model: str) -> tuple[ModelSpec, Header | None]:
    path = weights_file(model)
    if path is None:
        return model_spec(model), None
    if path.suffix not in SUFFIXES:
        raise not_a_weights_file(path)
    header = read_header(path) if path.suffix == ".safetensors" else Header({}, {})
    return model_spec(base_of(header.metadata, path)), header


def load_model(
    name_or_path: str | os.PathLike[str] = "lite",
    *,
    device: str | torch.device = "cpu",
    pseudo_mask: PseudoMaskKind | None = None,
    weights: str | os.PathLike[str] | None = None,
    semantic_encoder: str | None = None,
    prompting: Prompting | None = None,
    progress: DownloadProgress | None = None,
) -> Model:
    """Load a model, ready to run.

    Parameters
    ----------
    name_or_path : str or path-like, default "lite"
        A name of `list_models`, or the path of a weights file (`.safetensors`, or `.pth` of the
        paper's code).
    device : str or torch.device, default "cpu"
        "cpu", "cuda", "mps" or "auto".
    pseudo_mask : {"probe", "correlation"}, optional
        How the target's pseudo-mask is made: by a classifier fitted on the references, or by the
        paper's training-free correlation. Unless given it is what the weights file says it was
        trained with, and else the probe. A file of the paper's code says nothing; its VRP encoder
        was trained with the correlation.
    weights : str or path-like, optional
        For `lite` another weights file, for full-size models that of a VRP encoder; "random" leaves
        everything untrained.
    semantic_encoder : str, optional
        For full-size models another semantic encoder than the default.
    prompting : {"vrp", "points", "box", "points+box", "persam", "probe"}, optional
        What prompts SAM in a full-size model, see `prompting.PROMPTINGS`: the VRP encoder unless
        given, or where there is none, points and a box from the pseudo-mask (GP-SAM).
    progress : callable, optional
        Told about downloads; see `downloads.DownloadProgress`.

    Returns
    -------
    Model

    Raises
    ------
    InputError
        If the name, file, device, pseudo-mask or prompting does not exist or fit, or a download
        fails.
    """
    from napari_vrp_sam.models.devices import resolve_device

    where = resolve_device(device)
    name = os.fspath(name_or_path)
    user_weights: Path | None
    if looks_like_a_path(name):
        user_weights = Path(name)
        spec = model_spec(_base_of_file(user_weights))
    else:
        spec = model_spec(name)
        user_weights = spec.user_weights
    if user_weights is not None:
        if weights is not None:
            raise InputError("Give either a model of your own or `weights`, not both.")
        weights = user_weights
    model: Any
    if spec.sam_weights is None:
        if semantic_encoder not in {None, spec.semantic_encoder}:
            raise InputError(f"The semantic encoder of '{name}' is a part of it: leave it out.")
        if prompting is not None:
            raise InputError(
                f"'{name}' chooses its prompting itself: leave it out, or take a model of SAM."
            )
        model = load_lite(spec, weights, pseudo_mask)
    else:
        model = load_full_size(spec, weights, semantic_encoder, pseudo_mask, prompting, progress)
    loaded: Model = model.to(where).eval()
    return loaded


def _base_of_file(path: Path) -> str:
    """The built-in model that a weights file belongs to."""
    if path.suffix == ".safetensors":
        return base_of(read_header(path).metadata, path)
    from napari_vrp_sam.models.weights.checkpoints import read_checkpoint

    return base_of(read_checkpoint(path).metadata, path)


def _spec_of(own: UserModel) -> ModelSpec:
    base = next(spec for spec in catalogue.BUILT_IN if spec.name == base_of(own.card, own.path))
    return replace(
        base,
        name=own.name,
        description=own.description,
        semantic_encoder=own.card.get("semantic_encoder", base.semantic_encoder),
        licence=own.card.get("licence", base.licence),
        packaged_weights="",
        user_weights=own.path,
    )
