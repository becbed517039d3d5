"""Prompts for SAM per object: candidates in the pseudo-mask, their masks, and SAM's share."""
