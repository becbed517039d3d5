"""Experiments of the paper and training of `lite`; never imported by the plugin."""
