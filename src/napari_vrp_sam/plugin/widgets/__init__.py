"""Qt widgets and helpers of the docks that do not depend on models or layers of the plugin."""
