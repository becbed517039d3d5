"""Dock widget "Fine-tune": form, controls, learning curves and comparison of models."""
