"""VoGE: analysis by synthesis with volumes of Gaussian ellipsoids.

    ellipsoids = voge.Ellipsoids(means, scales, quats, density, features)
    cameras = voge.Cameras(voge.orbit(30, 20, 3.0)[None], voge.intrinsics(256, 256, fov=40)[None], 256, 256)
    picture = voge.render(ellipsoids, cameras)

The picture carries gradients to the ellipsoids and the cameras. Conventions: docs/conventions.md.
"""

from voge.cameras import CameraModel as CameraModel
from voge.cameras import Cameras as Cameras
from voge.cameras import Rays as Rays
from voge.cameras import intrinsics as intrinsics
from voge.cameras import look_at as look_at
from voge.cameras import orbit as orbit
from voge.ellipsoids import Ellipsoids as Ellipsoids
from voge.ellipsoids import cat as cat
from voge.fitting.captures import Capture as Capture
from voge.fitting.fit import fit as fit
from voge.fitting.settings import FitSettings as FitSettings
from voge.ops import BackendError as BackendError
from voge.render import Fragments as Fragments
from voge.render import Rendered as Rendered
from voge.render import render as render
from voge.render import trace as trace
from voge.sample import Sampled as Sampled
from voge.sample import sample as sample
from voge.settings import Aggregation as Aggregation
from voge.settings import Backend as Backend
from voge.settings import RenderSettings as RenderSettings
