"""As many vertices or points as asked for: a mesh's edges are split or its vertices collapsed, points are thinned."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from voge.meshes import surfaces
from voge.meshes.mesh import Array, Mesh, Points, points_of, rebuilt
from voge.meshes.textures import Texture

COLLAPSED = 0.7  # of the vertices asked for are left by quadrics, which spare flat parts; splitting evens them out
COLOR_WEIGHT = 4.0  # a face between colors that differ by 1 counts as longer by this many lengths
OUTLINE = 0.005  # of the extent: farther the rim of an open mesh moves with a note
OUTLINE_NOTE = "its outline moves by up to {moved:.3g} with --count {count}: fewer vertices do not keep open rims"
LEAST_WANTED = 0.6  # of the longest: what is shorter waits for another round


def resample(geometry: Mesh | Points, count: int) -> Mesh | Points:
    """The same surface with `count` vertices, or points.

    A mesh with fewer gets more where its edges are longest; its shape and texture stay exactly as they are. One with
    more is decimated by quadric errors (fast-simplification), then its longest edges are split; colors become means
    over the vertices that each one stands for. Points are thinned evenly.

    Raises:
        ValueError: `count` is below 4, more than there are points, or fewer than decimation can reach.
    """
    if count < 4:
        raise ValueError(f"count must be at least 4, got {count}")
    if isinstance(geometry, Points):
        return thin(geometry, count)
    if count >= len(geometry.vertices):
        return refine(geometry, count)
    plain = refine(decimate(geometry, count), count)
    moved = outline_shift(geometry, plain)
    if moved > OUTLINE * np.ptp(geometry.vertices, axis=0).max():
        plain = replace(plain, notes=(*plain.notes, OUTLINE_NOTE.format(moved=moved, count=count)))
    return plain if geometry.colors is None else replace(plain, colors=_nearest_means(geometry, plain))


def outline_shift(before: Mesh, after: Mesh) -> float:
    """The largest distance from a vertex on the rim of an open mesh to the rim of another; 0 for closed meshes."""
    rim = _rim(before.faces)
    if not len(rim):
        return 0.0
    ends = after.vertices[_rim(after.faces)]
    if not len(ends):
        return float(np.ptp(before.vertices, axis=0).max())
    steps = np.linspace(0, 1, 65)[:, None, None]
    from scipy.spatial import cKDTree

    places = (ends[:, 0] * (1 - steps) + ends[:, 1] * steps).reshape(-1, 3)
    return float(cKDTree(places).query(before.vertices[np.unique(rim)])[0].max())


def _rim(faces: Array) -> Array:
    """(E, 2) edges of one face only."""
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), 1)
    unique, counts = np.unique(edges, axis=0, return_counts=True)
    return np.asarray(unique[counts == 1])


def refine(mesh: Mesh, count: int) -> Mesh:
    """Split the longest edges, round after round, until there are `count` vertices.

    A face counts as longer where the colors of its corners differ, so that more vertices go where a texture has edges.
    """
    if len(mesh.vertices) >= count:
        return mesh
    vertices, faces, parent = mesh.vertices, mesh.faces, np.arange(len(mesh.faces))
    corners = np.broadcast_to(np.eye(3), (len(faces), 3, 3))
    while len(vertices) < count:
        colors = _corner_colors(mesh, parent, corners)
        length = _to_next(vertices[faces])
        wanted = length.max(1) * (1 if colors is None else 1 + COLOR_WEIGHT * _to_next(colors).max(1))
        # Always a face's longest edge, whose halves are no slivers.
        vertices, faces, origin, cut = _split(vertices, faces, length.argmax(1), wanted, count - len(vertices))
        parent, corners = parent[origin], cut @ corners[origin]
    texture = None if mesh.texture is None else _cut_texture(mesh.texture, parent, corners)
    painted = None
    if mesh.colors is not None and texture is None:
        painted = np.empty((len(vertices), 3), np.float32)
        painted[faces] = _corner_colors(mesh, parent, corners)
    return rebuilt(mesh, vertices, faces, painted, texture)


def _to_next(corners: Array) -> Array:
    """(F, 3) distances from each corner (F, 3, C) to the next."""
    return np.asarray(np.linalg.norm(corners - np.roll(corners, -1, 1), axis=2))


def _corner_colors(mesh: Mesh, parent: Array, corners: Array) -> Array | None:
    """(F', 3, 3) colors of the corners of pieces of faces; None without colors."""
    if mesh.texture is not None:
        a, b, c = corners.transpose(1, 0, 2)
        share = np.repeat(np.abs((np.cross(a, b) * c).sum(1)), 3) / 4  # about a quarter of the piece
        colors = mesh.texture.lookup(np.repeat(parent, 3), corners.reshape(-1, 3), share)
        return colors.reshape(-1, 3, 3)
    return None if mesh.colors is None else corners @ mesh.colors[mesh.faces[parent]].astype(np.float64)


def decimate(mesh: Mesh, count: int) -> Mesh:
    """Collapse vertices until some COLLAPSED of `count` are left; without colors.

    Raises:
        ValueError: more than `count` are left, as with many separate pieces.
    """
    import fast_simplification

    low, size = mesh.vertices.min(0), np.ptp(mesh.vertices, axis=0).max()
    places, share, goal = (mesh.vertices - low) / size, len(mesh.faces) / len(mesh.vertices), COLLAPSED * count
    for _ in range(4):
        target = min(max(int(goal * share), 4), len(mesh.faces))
        found, faces = fast_simplification.simplify(places, mesh.faces.astype(np.int32), target_count=target)
        faces = faces[surfaces.face_areas(torch.from_numpy(found), torch.from_numpy(faces).long()).numpy() > 0]
        used, faces = np.unique(faces, return_inverse=True)
        if len(used) <= count:
            break
        goal *= 0.9 * count / len(used)
    if not 3 <= len(used) <= count:
        raise ValueError(f"its {len(mesh.vertices)} vertices could be decimated to {len(used)}, not to {count}")
    return rebuilt(mesh, found[used] * size + low, faces.reshape(-1, 3).astype(np.int64), None, None)


def _split(vertices: Array, faces: Array, side: Array, wanted: Array, most: int) -> tuple[Array, Array, Array, Array]:
    """Put a vertex in the middle of at most `most` edges, those that faces want most.

    Args:
        vertices, faces: of the mesh.
        side: (F,) the edge that each face wants to be split, by the corner before it.
        wanted: (F,) how much; what is wanted much less than the most waits for another round.
        most: at least 1.

    Returns:
        vertices, faces (F', 3), each new face's row (F',) among the old, its corners' barycentric places there
        (F', 3, 3).
    """
    ends = np.sort(np.stack([faces, np.roll(faces, -1, 1)], -1), -1).reshape(-1, 2)
    codes, first, edge = np.unique(ends[:, 0] * len(vertices) + ends[:, 1], return_index=True, return_inverse=True)
    ends, edge = ends[first], edge.reshape(-1, 3)
    score = np.zeros(len(codes))
    np.maximum.at(score, edge[np.arange(len(faces)), side], wanted)
    order = np.argsort(-score, kind="stable")[:most]
    order = order[score[order] > LEAST_WANTED * score.max()]
    middle = np.full(len(codes), -1)
    middle[order] = len(vertices) + np.arange(len(order))
    slots = np.concatenate([faces, middle[edge]], 1)  # corners, then the middles of the edges after them
    pattern = (slots[:, 3:] >= 0) @ np.array([1, 2, 4])
    pieces = [(np.flatnonzero(pattern == code), np.array(cuts)) for code, cuts in enumerate(CUTS)]
    made = np.concatenate([slots[rows][:, cuts].reshape(-1, 3) for rows, cuts in pieces])
    origin = np.concatenate([np.repeat(rows, len(cuts)) for rows, cuts in pieces])
    corners = np.concatenate([np.tile(_SLOTS[cuts], (len(rows), 1, 1)) for rows, cuts in pieces])
    return np.concatenate([vertices, vertices[ends[order]].mean(1)]), made, origin, corners


def _cuts(pattern: int) -> list[tuple[int, int, int]]:
    """Triangles that a face is cut into, by slots: corners 0 1 2, middles 3 (of 0-1), 4 (of 1-2), 5 (of 2-0).

    Bit k of the pattern: edge k, from corner k to the next, is split.
    """
    plain = {
        0: [(0, 1, 2)],
        1: [(0, 3, 2), (3, 1, 2)],
        3: [(3, 1, 4), (0, 3, 4), (0, 4, 2)],
        7: [(0, 3, 5), (3, 1, 4), (5, 4, 2), (3, 4, 5)],
    }
    for turn in range(3):
        turned = ((pattern >> turn) | (pattern << (3 - turn))) & 7
        if turned in plain:
            return [tuple((s + turn) % 3 + s // 3 * 3 for s in cut) for cut in plain[turned]]  # type: ignore[misc]
    raise ValueError(pattern)


CUTS = [_cuts(pattern) for pattern in range(8)]
_SLOTS = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.5, 0.5, 0], [0, 0.5, 0.5], [0.5, 0, 0.5]])


def _cut_texture(texture: Texture, parent: Array, corners: Array) -> Texture:
    """The texture of pieces (F',) of faces, at the barycentric places (F', 3, 3) of their corners."""
    cut = texture.faces(parent)
    plain = corners.astype(np.float32) @ cut.plain if len(cut.plain) else cut.plain
    return replace(cut, uv=corners @ cut.uv, plain=plain)


def _nearest_means(source: Mesh, target: Mesh) -> Array:
    """(V, 3) mean colors of the source's vertices nearest to each of the target's, else of the nearest one.

    Near counts the normals as well, lest the two sides of a thin sheet mix.
    """
    from scipy.spatial import cKDTree

    assert source.colors is not None
    areas = surfaces.face_areas(torch.from_numpy(target.vertices), torch.from_numpy(target.faces))
    apart = 0.5 * float(areas.sum() / len(target.vertices)) ** 0.5
    old, new = (np.concatenate([mesh.vertices, apart * mesh.normals], 1) for mesh in (source, target))
    near = cKDTree(new).query(old, workers=-1)[1]
    members = np.bincount(near, minlength=len(new))
    sums = [np.bincount(near, source.colors[:, channel], len(new)) for channel in range(3)]
    colors = np.stack(sums, 1) / np.maximum(members, 1)[:, None]
    alone = members == 0
    if alone.any():
        colors[alone] = source.colors[cKDTree(old).query(new[alone], workers=-1)[1]]
    return colors.astype(np.float32)


def thin(points: Points, count: int) -> Points:
    """`count` of the points, one in each cell of a grid, with the mean color of its cell.

    Raises:
        ValueError: there are fewer.
    """
    if count > len(points.points):
        raise ValueError(f"count must be at most {len(points.points)}, the number of points; got {count}")
    place = (points.points - points.points.min(0)) / (np.ptp(points.points, axis=0).max() or 1)
    coarse, fine = 1.0, 2.0**20
    for _ in range(24):  # cells a side, between too few and enough
        middle = (coarse * fine) ** 0.5
        occupied = len(np.unique(_codes(place, middle)))
        coarse, fine = (middle, fine) if occupied < count else (coarse, middle)
    first, cell = np.unique(_codes(place, fine), return_index=True, return_inverse=True)[1:]
    if len(first) < count:  # points that coincide
        others = np.setdiff1d(np.arange(len(place)), first)
        return points_of(points, np.sort(np.concatenate([first, others[: count - len(first)]])))
    chosen = np.sort(np.random.default_rng(0).permutation(len(first))[:count])
    colors = points.colors
    if colors is not None:
        members = np.bincount(cell)
        means = [np.bincount(cell, colors[:, channel]) / members for channel in range(3)]
        colors = np.stack(means, 1).astype(np.float32)[chosen]
    return replace(points_of(points, first[chosen]), colors=colors)


def _codes(place: Array, cells: float) -> Array:
    """One number for each point's cell, of points in the unit cube."""
    x, y, z = np.minimum((place * cells).astype(np.int64), 2**21 - 1).T
    return np.asarray((x << 42) | (y << 21) | z)
