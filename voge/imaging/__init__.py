"""Finished pictures: what of a set is shown, and in which colors."""
