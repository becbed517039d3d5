"""What a model of the user's own is, in a few lines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from napari_vrp_sam.models.weights.catalogue import base_of

if TYPE_CHECKING:
    from napari_vrp_sam.models.zoo.user_models import UserModel


def card_html(model: UserModel) -> str:
    """Base, measurements, data and settings; or why the model cannot be used."""
    if model.problem:
        return escape(model.problem)
    card = model.card
    lines = [("Base", card.get("base_model") or base_of(card, model.path))]
    metrics, data, settings = (_read(card, key) for key in ("metrics", "fine_tuning_data", TUNING))
    before, after = metrics.get(f"{IOU}_before"), metrics.get(f"{IOU}_after")
    if isinstance(before, float | int) and isinstance(after, float | int):
        lines.append(("IoU held out", f"{before:.3f} before, {after:.3f} after"))
    if data:
        lines.append(("Learned from", _data_words(data)))
    if settings.get("steps"):
        parts = settings.get("parts", "")
        lines.append(("Training", ", ".join(filter(None, [f"{settings['steps']} steps", parts]))))
    if card.get("date"):
        lines.append(("Made", card["date"][:16].replace("T", " ")))
    if card.get("licence"):
        lines.append(("Licence", card["licence"]))
    return "<br>".join(f"<b>{name}</b>: {escape(str(text))}" for name, text in lines)


IOU, TUNING = "held_out_iou", "fine_tuning"


def _read(card: Mapping[str, str], key: str) -> dict[str, Any]:
    """An entry that is JSON; files of others may hold anything."""
    try:
        value = json.loads(card.get(key, "{}"))
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _data_words(data: Mapping[str, Any]) -> str:
    frames = data.get("frames", 0)
    words = [f"{frames} frame{'' if frames == 1 else 's'}"]
    for key, word in (("sizes", "of"), ("kinds", "with"), ("classes", "classes")):
        values = data.get(key)
        if isinstance(values, list) and values:
            words.append(f"{word} {', '.join(map(str, values))}")
    return ", ".join(words)
