"""Options, inputs and outputs that commands share."""
