"""Training of a VRP encoder as in the paper: everything else is frozen."""
