"""Smaller and faster forms of a trained model, and the choice of the one that ships."""
