"""Changes of layers by the user during a run."""

import numpy as np


def delete_image(viewer):
    viewer.layers.remove("stack")


def delete_everything(viewer):
    viewer.layers.clear()


def rename_everything(viewer):
    for layer in list(viewer.layers):
        layer.name = f"my {layer.name}"


def edit_image(viewer):
    viewer.layers["stack"].scale = (1, 1, 1)
    viewer.layers["stack"].data = np.zeros((2, 20, 20))
