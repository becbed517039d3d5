"""User models in the interface: list, model card, import, export, rename, delete."""
