"""Families of candidates that learn from the window itself: a fleet file that names one makes the kernel give it."""

SEQUENCE_FAMILIES = ("cnn", "lstm", "gru", "transformer")
