"""The *Objects* section: objects of a result and their table."""
