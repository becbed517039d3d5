"""Built-in models and user models by name, and their loading."""
