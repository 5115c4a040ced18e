"""Settings of the conversion of meshes and points to ellipsoids."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from voge.io.settings import Units
from voge.option import Settings, option
from voge.scene.settings import Up


class MeshMethod(str, Enum):
    """Converter of meshes."""

    hat = "hat"  # one a vertex: the moments of its hat function
    triangle = "triangle"  # one a triangle: its second moments
    vertex = "vertex"  # one a vertex, isotropic: the paper's converter (eq. 30)


class PointMethod(str, Enum):
    """Converter of points."""

    points = "points"  # flat, in the plane of the neighbors
    isotropic = "isotropic"  # the paper's converter, from the distances to the neighbors


class Method(str, Enum):
    """Converter of a file: `auto` is hat for meshes and points for points."""

    auto = "auto"
    hat = "hat"
    triangle = "triangle"
    vertex = "vertex"
    points = "points"


# Smaller kappa leaves holes, larger blurs and fattens the silhouette; more X does the second as well.
KAPPA = {"hat": 0.75, "triangle": 1.1, "points": 1.2}
OPTICAL_DEPTH = {"hat": 5.0, "triangle": 5.0, "points": 6.0}
FLATNESS = 0.05  # from 0.1 on silhouettes fatten; below 0.05 IoU gains less than 0.001
SLIMMEST = 0.08  # the smaller in-plane deviation is at least this part of the larger, against slivers
COVERAGE = 0.5  # zeta (A.3)
NEIGHBORS = {"points": 16, "isotropic": 6}  # 16: 10 to 24 differ by 0.004 in IoU; 6: as many as a mesh has edges


@dataclass(frozen=True, kw_only=True)
class Conversion(Settings):
    """From a mesh or points to ellipsoids; `None` is the converter's own default."""

    method: Method = option(Method.auto, "one ellipsoid a vertex (hat, vertex), triangle or point", flag="--method")
    count: int | None = option(
        None,
        "how many: edges are split or collapsed, points thinned",
        at_least=4,
        flag="--count",
        default_text="as the file",
    )
    coverage: float | None = option(
        None,
        "method vertex: density half-way along an edge",
        above=0,
        below=1,
        flag="--coverage",
        default_text=f"{COVERAGE}",
    )
    flatness: float | None = option(
        None, "thickness over width", above=0, flag="--flatness", default_text=f"{FLATNESS}"
    )
    neighbors: int | None = option(
        None,
        "points: nearest ones that tell spacing and plane",
        at_least=3,
        flag="--neighbors",
        default_text=f"{NEIGHBORS['points']}",
    )
    kappa: float | None = option(
        None,
        "width over that of the piece of surface",
        above=0,
        default_text=", ".join(f"{value} ({name})" for name, value in KAPPA.items()),
    )
    optical_depth: float | None = option(
        None,
        "optical depth of the surface seen head on",
        above=0,
        default_text=", ".join(f"{value:g} ({name})" for name, value in OPTICAL_DEPTH.items()),
    )


@dataclass(frozen=True, kw_only=True)
class ConvertSettings(Conversion):
    """Conversion of a file, and the place of the ellipsoids afterwards."""

    units: Units | None = option(None, "the file's unit: recorded, nothing is scaled", flag="--units", default_text="")
    up: Up | None = option(
        None, "the file's upright axis; z is turned to y, and recorded", flag="--up", default_text=""
    )
    normalize: bool = option(False, "move to the origin and scale to radius 1; recorded", flag="--normalize")
    crop: list[float] | None = option(
        None,
        "keep what lies in this box (lowest, then highest corner)",
        holds=lambda box: len(box) == 6 and all(map(float.__lt__, box, box[3:])),
        rule="must be xmin,ymin,zmin,xmax,ymax,zmax, each min below its max",
        flag="--crop",
        metavar="X,Y,Z,X,Y,Z",
    )
