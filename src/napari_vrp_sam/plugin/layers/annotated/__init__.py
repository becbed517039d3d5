"""Labels, points and shapes of annotation layers, on the frames of an image."""
