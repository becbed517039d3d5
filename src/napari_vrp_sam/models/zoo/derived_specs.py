"""Entries of models that are not in the catalogue: networks of timm, and user models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.models.weights import catalogue
from napari_vrp_sam.models.weights.catalogue import (
    NETWORK_KEY,
    REPOSITORY_KEY,
    TIMM_PREFIX,
    base_model_name,
)
from napari_vrp_sam.models.weights.hub import HubFile
from napari_vrp_sam.models.weights.model_spec import ModelSpec
from napari_vrp_sam.models.zoo.user_models import UserModel


def timm_spec(name: str) -> ModelSpec:
    """Return the entry of `timm:NAME`, with the source and licence that timm lists."""
    import timm

    network = name.removeprefix(TIMM_PREFIX)
    config = timm.models.get_pretrained_cfg(network) if timm.is_model(network) else None
    if config is None or not config.hf_hub_id:
        raise InputError(
            f"timm has no published weights for '{network}': choose one of timm.list_pretrained()."
        )
    licence = str(config.license or "unknown licence")
    repository = str(config.hf_hub_id)
    weights = HubFile.of(repository, licence, network)
    description = f"Probe on features of timm's {network}."
    return ModelSpec(name, description, network, "", licence, backbone_weights=weights)


def user_model_spec(model: UserModel) -> ModelSpec:
    """Return the entry of a user model: that of its base model with its own name and file."""
    base = base_model_name(model.card, model.path)
    known = (spec for spec in catalogue.BUILT_IN if spec.name == base)
    spec = next(known, None) or _tuned_probe_spec(model.card)
    return replace(
        spec,
        name=model.name,
        description=model.description,
        semantic_encoder=model.card.get("semantic_encoder", spec.semantic_encoder),
        licence=model.card.get("licence", spec.licence),
        packaged_weights="",
        user_weights=model.path,
    )


def _tuned_probe_spec(card: Mapping[str, str]) -> ModelSpec:
    """Return the entry of a fine-tuned model on any network of timm, without importing timm."""
    network, licence = card[NETWORK_KEY], card.get("licence", "unknown licence")
    weights = HubFile.of(card[REPOSITORY_KEY], licence, network)
    return ModelSpec(TIMM_PREFIX + network, "", network, "", licence, backbone_weights=weights)
