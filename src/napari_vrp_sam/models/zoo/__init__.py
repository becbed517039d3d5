"""Models by name: the built-in ones and the user's own, and how they are loaded."""
