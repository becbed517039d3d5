"""The list of classes and the annotation layers that belong to them."""
