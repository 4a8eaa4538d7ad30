"""Networks over the normalised window, for training with the extra `deep`; serving needs none of it."""
