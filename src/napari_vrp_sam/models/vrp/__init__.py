"""The VRP encoder of the paper, its parts, and the semantic encoders it reads."""
