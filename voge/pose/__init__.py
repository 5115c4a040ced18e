"""Poses of objects by neural features, render and compare (paper, sections 4.2 and 4.3)."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
