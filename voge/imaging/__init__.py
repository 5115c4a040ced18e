"""Finished pictures: what of a set is shown, and in which colors."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
