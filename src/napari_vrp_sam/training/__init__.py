"""Models trained: episodes, losses and the Lightning module."""
