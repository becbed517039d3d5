"""Management of the user's own models."""
