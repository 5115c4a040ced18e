"""Readers of mesh and point files, one a format: each gives pieces in world coordinates and notes."""
