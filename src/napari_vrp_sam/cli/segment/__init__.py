"""`vrp-sam segment`, its inputs and its run."""
