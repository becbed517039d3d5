"""Exports: CSV tables and contact sheets."""
