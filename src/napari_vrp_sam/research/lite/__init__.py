"""Training of `lite`, from ImageNet weights to the packaged weights file."""
