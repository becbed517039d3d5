"""Qt controls that know no model."""
