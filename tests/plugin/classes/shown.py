"""Classes as lists and layers show them."""

from napari.layers import Labels
from qtpy.QtGui import QColor


def numbers(class_list):
    return [entry.number for entry in class_list.classes]


def shown_colour(layer, number):
    """Colour "#rrggbb" in which a layer shows a class."""
    if isinstance(layer, Labels):
        rgba = layer.get_color(number)
    else:
        each = layer.face_color if layer.name == "points" else layer.edge_color
        rgba = each[layer.features["class"].tolist().index(number)]
    return QColor.fromRgbF(*map(float, rgba)).name()
