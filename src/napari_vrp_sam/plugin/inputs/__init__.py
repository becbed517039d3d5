"""Input controls of the docks: image, channels, annotations, model, frames."""
