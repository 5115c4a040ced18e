"""Rotations, rigid motions and similarities: mathematics of frames, without ellipsoids or cameras."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
