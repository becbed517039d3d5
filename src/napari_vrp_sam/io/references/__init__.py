"""Annotations from other programs: label images, drawings and points, read for a given stack.

`reading.read_annotations` chooses the reader by the content of the file; each module in `readers/`
reads one format.
"""
