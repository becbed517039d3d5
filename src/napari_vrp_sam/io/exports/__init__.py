"""Exports for other programs: tables and contact sheets."""
