"""The *Fine-tune* widget."""
