"""Procedural objects for the synthetic benchmark: categories whose members differ in shape and color.

As PASCAL3D+'s models they have z up, the front towards -y, the middle of their bounding box at the origin and a
diagonal of 1. All are symmetric in x. They are made of convex parts, each of one color.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voge.meshes.mesh import Mesh, build_mesh

Array = NDArray[Any]
Color = tuple[float, float, float]

GLASS: Color = (0.08, 0.1, 0.13)
RUBBER: Color = (0.05, 0.05, 0.05)
METAL: Color = (0.6, 0.6, 0.62)
LAMP: Color = (0.95, 0.95, 0.8)
TAIL: Color = (0.75, 0.05, 0.05)


@dataclass(slots=True)
class Parts:
    """Triangles and colors of an object under construction."""

    vertices: list[Array] = field(default_factory=list)
    faces: list[Array] = field(default_factory=list)
    colors: list[Array] = field(default_factory=list)
    count: int = 0

    def add(self, vertices: Array, faces: Array, color: Color) -> None:
        """A part, and nothing that would merge with another's vertices."""
        self.vertices.append(np.asarray(vertices, float) * (1 + 1e-5 * len(self.faces)))
        self.faces.append(np.asarray(faces) + self.count)
        self.colors.append(np.tile(np.asarray(color, np.float32), (len(vertices), 1)))
        self.count += len(vertices)

    def hull(self, points: Array, color: Color) -> None:
        """The convex hull of points (P, 3)."""
        from scipy.spatial import ConvexHull

        hull = ConvexHull(points)
        faces = hull.simplices.copy()
        a, b, c = (points[faces[:, i]] for i in range(3))
        inwards = (np.cross(b - a, c - a) * hull.equations[:, :3]).sum(1) < 0
        faces[inwards] = faces[inwards][:, ::-1]
        self.add(points, faces, color)

    def box(self, low: Sequence[float], high: Sequence[float], color: Color, taper: float = 1.0) -> None:
        """A box, narrowed in x and y towards its top."""
        corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], float)
        low_, high_ = np.asarray(low, float), np.asarray(high, float)
        points = low_ + corners * (high_ - low_)
        middle = (low_ + high_) / 2
        top = corners[:, 2] == 1
        points[top, :2] = middle[:2] + taper * (points[top, :2] - middle[:2])
        self.hull(points, color)

    def both(self, low: Sequence[float], high: Sequence[float], color: Color, taper: float = 1.0) -> None:
        """A box and its mirror image in x."""
        self.box(low, high, color, taper)
        self.box((-high[0], low[1], low[2]), (-low[0], high[1], high[2]), color, taper)

    def profile(self, outline: Sequence[tuple[float, float]], half: Sequence[float], color: Color) -> None:
        """A convex outline of (y, z), swept in x to half widths, one a corner."""
        flat = np.array(outline)
        sides = [np.column_stack([sign * np.asarray(half), flat]) for sign in (-1, 1)]
        self.hull(np.concatenate(sides), color)

    def tube(self, start: Sequence[float], end: Sequence[float], radii: tuple[float, float], color: Color) -> None:
        """A round rod, of other radii at its ends if wanted."""
        a, b = np.asarray(start, float), np.asarray(end, float)
        along = (b - a) / np.linalg.norm(b - a)
        side = np.cross(along, [0, 0, 1] if abs(along[2]) < 0.9 else [1, 0, 0])
        side /= np.linalg.norm(side)
        turn = np.linspace(0, 2 * np.pi, 16, endpoint=False)
        ring = np.cos(turn)[:, None] * side + np.sin(turn)[:, None] * np.cross(along, side)
        self.hull(np.concatenate([a + radii[0] * ring, b + radii[1] * ring]), color)

    def mesh(self) -> Mesh:
        """Return all parts as one mesh, centered and scaled."""
        vertices = np.concatenate(self.vertices)
        low, high = vertices.min(0), vertices.max(0)
        vertices = (vertices - (low + high) / 2) / np.linalg.norm(high - low)
        return build_mesh(vertices, np.concatenate(self.faces), np.concatenate(self.colors))


def car(random: np.random.Generator, paints: np.random.Generator) -> Mesh:
    """Saloons, hatchbacks and vans."""
    u, made = random.uniform, Parts()
    paint = _paint(paints)
    length, wide, ground = u(3.9, 4.9), u(0.82, 0.95), u(0.18, 0.28)
    belt, roof = ground + u(0.55, 0.7), ground + u(1.1, 1.45)
    nose, tail = -length / 2, length / 2
    hood, boot = u(0.9, 1.25), u(0.15, 0.9)
    shoulder = belt - u(0.03, 0.15)
    outline = [(nose, ground + 0.1), (nose + 0.03, shoulder - 0.1), (nose + hood, belt), (tail - boot, belt),
               (tail - 0.02, shoulder), (tail, ground + 0.15), (tail - 0.15, ground),
               (nose + 0.15, ground)]  # fmt: skip
    made.profile(outline, [0.9 * wide, 0.92 * wide, wide, wide, 0.95 * wide, 0.95 * wide, wide, wide], paint)
    front, back = nose + hood + u(0.4, 0.7), tail - boot - u(0.1, 0.5) * (boot > 0.3)
    cabin = [(nose + hood, belt), (front, roof - 0.06), (back, roof - 0.06), (tail - boot, belt)]
    made.profile(cabin, [0.95 * wide, 0.78 * wide, 0.78 * wide, 0.95 * wide], GLASS)
    made.box((-0.79 * wide, front - 0.05, roof - 0.07), (0.79 * wide, back + 0.05, roof), paint, 0.93)
    for at in (0.45 * front + 0.55 * back, back - 0.08):
        made.profile([(at, belt), (at + 0.1, belt), (at + 0.08, roof - 0.05), (at, roof - 0.05)],
                     [0.965 * wide, 0.965 * wide, 0.795 * wide, 0.795 * wide], paint)  # fmt: skip
    made.box((-0.45 * wide, nose - 0.03, ground + 0.12), (0.45 * wide, nose + 0.05, ground + 0.35), RUBBER)
    made.both((0.55 * wide, nose - 0.02, shoulder - 0.28), (0.9 * wide, nose + 0.1, shoulder - 0.12), LAMP)
    made.both((0.6 * wide, tail - 0.1, shoulder - 0.25), (0.93 * wide, tail + 0.02, shoulder - 0.08), TAIL)
    made.box((-0.25 * wide, tail - 0.1, ground + 0.2), (0.25 * wide, tail + 0.02, ground + 0.32), LAMP)
    _wheels(made, wide, u(0.3, 0.36), (nose + u(0.75, 0.9), tail - u(0.7, 0.85)))
    return made.mesh()


def bus(random: np.random.Generator, paints: np.random.Generator) -> Mesh:
    """Coaches and city buses."""
    u, made = random.uniform, Parts()
    paint, second = _paint(paints), _paint(paints)
    length, wide, ground, roof = u(7.5, 11), u(1.2, 1.3), 0.35, u(2.7, 3.3)
    nose, tail, lean, sill = -length / 2, length / 2, u(0, 0.3), ground + u(0.75, 1.0)
    made.profile([(nose, ground), (nose, sill), (nose + lean, roof), (tail, roof), (tail, ground)], [wide] * 5, paint)
    made.box((-0.98 * wide, nose + 0.5, roof), (0.98 * wide, tail - 0.3, roof + 0.08), second)
    made.box((-1.01 * wide, nose + 0.2, ground + 0.1), (1.01 * wide, tail - 0.1, ground + u(0.2, 0.4)), second)
    panes = int(random.integers(4, 7))
    width = (length - 1.6) / panes
    for i in range(panes):
        start = nose + 0.8 + i * width
        made.box((-1.01 * wide, start + 0.06, sill), (1.01 * wide, start + width - 0.06, roof - 0.35), GLASS)
    top = nose + lean * 0.75
    made.profile([(nose - 0.03, sill - 0.15), (top, roof - 0.3), (top + 0.2, roof - 0.3), (nose + 0.2, sill - 0.15)],
                 [0.92 * wide] * 4, GLASS)  # fmt: skip
    made.box((-0.6 * wide, tail - 0.1, roof - 1.0), (0.6 * wide, tail + 0.03, roof - 0.35), GLASS)
    made.both((0.6 * wide, nose - 0.04, ground + 0.25), (0.9 * wide, nose + 0.1, ground + 0.5), LAMP)
    made.both((0.75 * wide, tail - 0.1, ground + 0.3), (0.95 * wide, tail + 0.04, ground + 0.8), TAIL)
    _wheels(made, wide, 0.48, (nose + u(1.4, 2.0), tail - u(1.8, 2.4)))
    return made.mesh()


def chair(random: np.random.Generator, paints: np.random.Generator) -> Mesh:
    """Chairs with four legs; some with arms, some with slats."""
    u, made = random.uniform, Parts()
    wood, cloth = _paint(paints), _paint(paints)
    wide, deep, seat, top = u(0.2, 0.27), u(0.2, 0.26), u(0.4, 0.48), u(0.78, 1.05)
    lean, thick = u(0.0, 0.12), u(0.015, 0.025)
    made.box((-wide, -deep, seat - 0.04), (wide, deep, seat), wood)
    made.box((-0.93 * wide, -0.93 * deep, seat), (0.93 * wide, 0.9 * deep, seat + u(0.015, 0.06)), cloth, 0.95)
    splay = u(0, 0.04)
    for x in (-1, 1):
        for y in (-1, 1):
            foot = (x * (wide - thick + splay), y * (deep - thick + splay), 0.0)
            made.tube(foot, (x * (wide - thick), y * (deep - thick), seat - 0.02), (0.8 * thick, thick), wood)
    slats = int(random.integers(0, 5))
    for x in (-1, 1):
        made.tube(
            (x * (wide - thick), deep - thick, seat), (x * (wide - thick), deep + lean, top), (thick, thick), wood
        )
    low = seat + u(0.08, 0.2)
    if slats < 2:
        made.hull(_slab(wide - thick, deep, lean, seat, top, low, top, 0.03), cloth)
    for i in range(slats if slats >= 2 else 0):
        start = low + (top - low) * i / slats
        made.hull(_slab(wide - thick, deep, lean, seat, top, start, start + 0.6 * (top - low) / slats, 0.02), wood)
    if random.random() < 0.4:
        height = seat + u(0.17, 0.25)
        made.both((wide - 2 * thick, -0.8 * deep, height), (wide, deep, height + 0.025), wood)
        made.both((wide - 1.8 * thick, -0.75 * deep, seat), (wide - 0.2 * thick, -0.65 * deep, height), wood)
    return made.mesh()


def aeroplane(random: np.random.Generator, paints: np.random.Generator) -> Mesh:
    """Make an airliner of random proportions."""
    u, made = random.uniform, Parts()
    paint, accent = _paint(paints, bright=True), _paint(paints)
    length, radius, span = u(30, 40), u(1.7, 2.2), u(14, 19)
    nose, tail = -length / 2, length / 2
    for start, end, first, last in ((0.0, 0.04, 0.25, 0.7), (0.04, 0.1, 0.7, 1.0), (0.1, 0.68, 1.0, 1.0),
                                    (0.68, 1.0, 1.0, 0.25)):  # fmt: skip
        lift = radius * (1 - last) * 0.6 * (end == 1.0)
        made.tube((0, nose + start * length, 0), (0, nose + end * length, lift), (first * radius, last * radius), paint)
    made.box((-0.6 * radius, nose + 0.035 * length, 0.3 * radius), (0.6 * radius, nose + 0.075 * length, 0.85 * radius),
             GLASS, 0.7)  # fmt: skip
    made.box(
        (-1.01 * radius, nose + 0.12 * length, 0.2 * radius), (1.01 * radius, tail - 0.3 * length, 0.4 * radius), GLASS
    )
    root, sweep, chord = nose + u(0.36, 0.44) * length, u(4, 8), u(5, 7)
    _wing(made, radius, span, root, sweep, chord, u(0.25, 0.4), -0.4 * radius, u(0, 1.6), 0.5, paint)
    _wing(made, 0.3 * radius, u(5, 7), tail - 4.2, u(2, 3), 3.2, 0.4, 0.5 * radius, 0.3, 0.25, accent)
    height = u(5, 7)
    made.hull(np.array([[x * s, y, z] for x in (-0.2, 0.2) for y, z, s in (
        (tail - 5.5, 0.6 * radius, 1), (tail - 0.5, 0.6 * radius, 1),
        (tail + 0.6, height, 0.5), (tail - 1.8, height, 0.5),
    )]), accent)  # fmt: skip
    pods = int(random.integers(1, 3))
    for i in range(pods):
        out = radius + (span - radius) * (0.3 + 0.28 * i)
        at = root + sweep * (0.3 + 0.28 * i) - 1.5
        for side in (-1, 1):
            made.tube((side * out, at, -1.1 * radius), (side * out, at + 3.2, -1.1 * radius), (1.0, 0.7), accent)
    return made.mesh()


def _wing(
    made: Parts, inner: float, outer: float, root: float, sweep: float, chord: float, tip: float,
    height: float, rise: float, thick: float, color: Color,
) -> None:  # fmt: skip
    """A pair of swept wings."""
    for side in (-1, 1):
        ends = (
            (inner * 0.5, root, chord, height, thick),
            (outer, root + sweep, chord * tip, height + rise, 0.4 * thick),
        )
        points = [[side * x, y, z + h] for x, start, long, z, t in ends for y in (start, start + long) for h in (0, t)]
        made.hull(np.array(points), color)


def _slab(
    wide: float, deep: float, lean: float, seat: float, top: float, low: float, high: float, thick: float
) -> Array:
    """A piece of a chair's back, which leans away from the seat, between two heights."""
    points = []
    for z in (low, high):
        y = deep - thick + lean * (z - seat) / (top - seat)
        points += [[x, y + t, z] for x in (-wide, wide) for t in (0, thick)]
    return np.array(points)


def _wheels(made: Parts, wide: float, radius: float, places: Sequence[float]) -> None:
    for y in places:
        for side in (-1, 1):
            made.tube((side * 0.75 * wide, y, radius), (side * 1.02 * wide, y, radius), (radius, radius), RUBBER)
            made.tube((side * wide, y, radius), (side * 1.04 * wide, y, radius), (0.55 * radius, 0.5 * radius), METAL)


def _paint(random: np.random.Generator, bright: bool = False) -> Color:
    value = random.uniform(0.75, 1.0) if bright else random.uniform(0.2, 0.95)
    return colorsys.hsv_to_rgb(random.random(), random.uniform(0, 0.35 if bright else 0.85), value)


def clutter(random: np.random.Generator) -> Mesh:
    """Things that stand in the way: heaps of boxes and rods."""
    made = Parts()
    for _ in range(int(random.integers(1, 5))):
        middle, size = random.normal(0, 0.5, 3), random.uniform(0.2, 0.9, 3)
        if random.random() < 0.5:
            made.box((middle - size / 2).tolist(), (middle + size / 2).tolist(), _paint(random), random.uniform(0.3, 1))
        else:
            made.hull(middle + size * _directions(random, 40), _paint(random))
    return made.mesh()


def _directions(random: np.random.Generator, count: int) -> Array:
    points = random.normal(size=(count, 3))
    placed: Array = points / np.linalg.norm(points, axis=1, keepdims=True) / 2
    return placed


# A mesh of two sources of chance: of the shape, and of the paints.
CATEGORIES: dict[str, Callable[[np.random.Generator, np.random.Generator], Mesh]] = {
    "aeroplane": aeroplane,
    "bus": bus,
    "car": car,
    "chair": chair,
}
