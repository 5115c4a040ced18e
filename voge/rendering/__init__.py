"""Ellipsoids and cameras to images, and to the sparse matrix W that makes them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
