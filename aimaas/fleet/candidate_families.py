"""Families of candidates that change the content of a training set."""

# learn from the window itself: a fleet file that names one makes the kernel give it
SEQUENCE_FAMILIES = ("cnn", "lstm", "gru", "transformer")

# learn from censored lives as intervals: a fleet file that names one makes the training set keep rows without a label, and bounds
CENSORED_FAMILIES = ("aft",)
