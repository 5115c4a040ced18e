"""Colors and features of ellipsoids from pictures of them (paper, sections 3.4, 4.4 and C.2).

textured = voge.texture.from_photos(["front.png"], ["pose.json"])  # as `voge texture`
found = voge.texture.extract(ellipsoids, cameras, images)  # its core, for tensors
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
