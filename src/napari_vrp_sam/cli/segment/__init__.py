"""`vrp-sam segment` and what it reads, checks and writes."""
