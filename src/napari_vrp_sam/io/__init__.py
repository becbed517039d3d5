"""Readers and writers: images, labels, sessions, exports and generated sample stacks."""
