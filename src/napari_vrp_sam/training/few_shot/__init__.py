"""The paper's training: a VRP encoder learns, all else is frozen."""
