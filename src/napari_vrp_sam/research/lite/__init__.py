"""Training of `lite`, from ImageNet weights to the file that ships."""
