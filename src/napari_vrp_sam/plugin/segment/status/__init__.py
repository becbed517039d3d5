"""State of the panel, and the widgets that show it."""
