"""Values that layers carry: metadata of the plugin, and the classes of points and shapes."""

from __future__ import annotations

from typing import Any, NamedTuple

from napari.layers import Layer, Points, Shapes

from napari_vrp_sam.errors import InputError

METADATA_KEY = "napari-vrp-sam"
CLASSES = "classes"
"""Metadata key of a result's classes: dicts with the keys number, name and colour."""
CLASS_FEATURE = "class"
"""Feature of a Points or Shapes layer with the class id of each point or shape."""

NOT_THIS = 256
"""Number of "Not this" among the classes: it is above all label values of classes."""
BACKGROUND_LABEL = 255
"""Value of "Not this" in the layers that contain it, which are marked in their metadata: in other
layers, such as masks with the values 0 and 255, it is a class."""
_BACKGROUND, _IGNORE = "background", "ignore"
CRS = "crs"
"""Metadata key of the coordinate reference system of an image on a map."""
CHANNEL_NAMES = "channel names"
"""Metadata key of the names of the channels in the file of an image."""
ONE_CLASS_KEY = "one class"
"""Metadata key that says whether all values of a Labels layer are one class."""
KIND_STATED = "kind stated"
"""Metadata key that is true if the user chose the kind of annotation when asked."""


class LabelMeaning(NamedTuple):
    """Answers of the user to questions about the values of a Labels layer; None: not asked."""

    one_class: bool | None
    background: int | None
    ignore: int | None


def background_label(layer: Layer) -> int | None:
    """Return the label value, or class of points and shapes, that means "Not this"; None if none.

    See Also
    --------
    mark_background
    """
    return get_metadata(layer, _BACKGROUND)


def mark_background(layer: Layer) -> None:
    """Let `BACKGROUND_LABEL` mean "Not this" in a layer that does not contain it as a class."""
    set_metadata(layer, **{_BACKGROUND: BACKGROUND_LABEL})


def label_meaning(layer: Layer) -> LabelMeaning:
    """Return what the user said about the values of a Labels layer."""
    one_class = get_metadata(layer, ONE_CLASS_KEY)
    if one_class is None and get_metadata(layer, "drawing"):
        one_class = False  # drawn with the class list
    return LabelMeaning(one_class, background_label(layer), get_metadata(layer, _IGNORE))


def state_meaning(
    layer: Layer,
    *,
    one_class: bool | None = None,
    background: int | None = None,
    ignore: int | None = None,
) -> None:
    """Store what the user says about the values of a Labels layer; None: keep what is known."""
    given = {ONE_CLASS_KEY: one_class, _BACKGROUND: background, _IGNORE: ignore}
    set_metadata(layer, **{key: value for key, value in given.items() if value is not None})


def set_metadata(layer: Layer, **values: Any) -> None:
    """Add values to the plugin's metadata of a layer, which napari copies along with it."""
    layer.metadata[METADATA_KEY] = {**layer.metadata.get(METADATA_KEY, {}), **values}


def get_metadata(layer: Layer, key: str) -> Any:
    """Return a value of the plugin's metadata of a layer; None if it is not set."""
    return layer.metadata.get(METADATA_KEY, {}).get(key)


def unwrap(layer: Layer) -> Any:
    """Return the layer itself instead of the proxy that napari passes to plugins."""
    return getattr(layer, "__wrapped__", layer)


def feature_class_ids(layer: Points | Shapes) -> list[int]:
    """Return the class id of each point or shape: its feature "class", or 1 without it."""
    if CLASS_FEATURE not in layer.features:
        return [1] * len(layer.data)
    return [parse_class_id(value, layer.name) for value in layer.features[CLASS_FEATURE]]


def parse_class_id(value: Any, layer_name: str) -> int:
    """Convert a value of the feature "class" to a class id; missing values give 1.

    Raises
    ------
    InputError
        If it is not a positive integer.
    """
    if value is None or value == "" or value != value:  # NaN: drawn before the feature existed
        return 1
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = 0.0
    if number < 1 or not number.is_integer():
        raise InputError(
            f"'{layer_name}' has the class {value!r}: values of its feature '{CLASS_FEATURE}' must "
            "be positive integers."
        )
    return int(number)
