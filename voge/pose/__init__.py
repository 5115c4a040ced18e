"""Poses of objects by neural features, render and compare (paper, sections 4.2 and 4.3)."""
