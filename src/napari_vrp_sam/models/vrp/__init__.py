"""VRP encoder of the paper, its components, and the semantic encoders that it uses."""
