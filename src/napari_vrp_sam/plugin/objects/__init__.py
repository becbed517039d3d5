"""The "Objects" section: find objects in a result and list them in a table."""
