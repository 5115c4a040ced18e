"""Converters: triangle meshes and point clouds to ellipsoids (docs/mathematics.md, section 5)."""

from voge.convert.converters import COVERAGE as COVERAGE
from voge.convert.converters import FLATNESS as FLATNESS
from voge.convert.converters import KAPPA as KAPPA
from voge.convert.converters import NEIGHBORS as NEIGHBORS
from voge.convert.converters import OPTICAL_DEPTH as OPTICAL_DEPTH
from voge.convert.converters import SLIMMEST as SLIMMEST
from voge.convert.converters import MeshMethod as MeshMethod
from voge.convert.converters import PointMethod as PointMethod
from voge.convert.converters import from_mesh as from_mesh
from voge.convert.converters import from_points as from_points
