"""Adapters of models for fine-tuning: trained parameters, loss and validation."""
