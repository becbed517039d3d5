"""Training of a VRP encoder between frozen networks, as in the paper."""
