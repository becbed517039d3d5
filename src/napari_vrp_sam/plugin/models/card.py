"""Model card of a user model as HTML."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from typing import Any

from napari_vrp_sam.models.weights.catalogue import base_model_name
from napari_vrp_sam.models.zoo.user_models import UserModel


def card_html(model: UserModel) -> str:
    """Return base model, metrics, training data and settings, or why the model is unusable."""
    if model.problem:
        return escape(model.problem)
    card = model.card
    metrics, data, settings = (
        _read_json(card, key) for key in ("metrics", "fine_tuning_data", "fine_tuning")
    )
    lines = [("Base", card.get("base_model") or base_model_name(card, model.path))]
    before, after = metrics.get("held_out_iou_before"), metrics.get("held_out_iou_after")
    if isinstance(before, float | int) and isinstance(after, float | int):
        lines.append(("IoU on held-out parts", f"{before:.3f} before, {after:.3f} after"))
    if data:
        lines.append(("Training data", _describe_data(data)))
    if settings.get("steps"):
        parts = settings.get("parts", "")
        lines.append(("Training", ", ".join(filter(None, [f"{settings['steps']} steps", parts]))))
    if card.get("date"):
        lines.append(("Created", card["date"][:16].replace("T", " ")))
    if card.get("licence"):
        lines.append(("Licence", card["licence"]))
    return "<br>".join(f"<b>{name}</b>: {escape(str(text))}" for name, text in lines)


def _read_json(card: Mapping[str, str], key: str) -> dict[str, Any]:
    """Parse an entry of a card; files from other sources may contain anything."""
    try:
        value = json.loads(card.get(key, "{}"))
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _describe_data(data: Mapping[str, Any]) -> str:
    frames = data.get("frames", 0)
    phrases = [f"{frames} frame{'' if frames == 1 else 's'}"]
    for key, word in (("sizes", "size"), ("kinds", "annotated by"), ("classes", "classes")):
        values = data.get(key)
        if isinstance(values, list) and values:
            phrases.append(f"{word} {', '.join(map(str, values))}")
    return ", ".join(phrases)
