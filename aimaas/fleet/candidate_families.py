"""Families of candidates that change the content of a training set."""

# learn from the window itself: if a fleet file names one, the kernel returns the window
SEQUENCE_FAMILIES = ("cnn", "lstm", "gru", "transformer")

# learn from censored lives as intervals: if a fleet file names one, the training set keeps rows without a label, and bounds
CENSORED_FAMILIES = ("aft",)
