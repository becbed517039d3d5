"""Parts of synthetic scenes: random fields, shapes, regions, textures, and how they are imaged."""
