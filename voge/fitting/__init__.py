"""Shapes from pictures of several views."""
