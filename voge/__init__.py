"""VoGE: analysis by synthesis with volumes of Gaussian ellipsoids.

    ellipsoids = voge.Ellipsoids(means, scales, quats, density, features)
    cameras = voge.Cameras(voge.orbit(30, 20, 3.0)[None], voge.intrinsics(256, 256, fov=40)[None], 256, 256)
    picture = voge.render(ellipsoids, cameras)

The picture carries gradients to the ellipsoids and the cameras. Conventions: docs/conventions.md.

The public names stand in `__init__.pyi`, here and in every package; each is imported when it is first used, so that
`import voge` costs nothing and settings are read without torch.
"""

import lazy_loader

_getattr, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("voge")
    return _getattr(name)
