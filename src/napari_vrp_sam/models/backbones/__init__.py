"""Probe models: a frozen network of timm as features, and a probe that learns the classes."""
