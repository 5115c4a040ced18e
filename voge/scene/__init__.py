"""The types of what is rendered, and from where: ellipsoids, cameras, objects, captures."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
