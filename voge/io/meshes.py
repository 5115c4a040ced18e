"""Triangle meshes and point clouds from files.

`voge.io.readers` reads OBJ with MTL, glTF and GLB, PLY, STL, OFF, text and NumPy arrays; trimesh reads other formats.
Colors are the file's numbers scaled to [0, 1]: nothing is converted between linear and sRGB. Nothing is recentered or
rescaled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from voge.errors import DataError
from voge.io.files import check_not_empty
from voge.io.readers import Part, read_content
from voge.meshes.mesh import Array, Mesh, Points, build_mesh
from voge.meshes.textures import Texture, pyramid


def load_geometry(path: str | Path) -> Mesh | Points:
    """Read a mesh, or points where the file has no faces.

    Scene graphs are flattened. Vertices at one position, as OBJ and GLB have along the seams of a texture
    and STL has everywhere, become one with the mean of their colors. Textures become colors of the
    vertices, each the mean over the surface around (`voge.meshes.textures.vertex_colors`), and are kept as well.

    Raises:
        DataError: the file is missing, malformed or empty; one line with what to do.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(path, "is a folder, not a file of a mesh or points" if path.is_dir() else "no such file")
    check_not_empty(path)
    try:
        content = read_content(path)
    except DataError:
        raise
    except Exception as error:  # decoders fail with whatever they met
        reason = f"{error or type(error).__name__}".splitlines()[0][:200]
        raise DataError(path, f"cannot be read as {path.suffix} ({reason})", "export it again") from error
    notes = content.notes
    meshes = [part for part in content.parts if len(part.faces)]
    clouds = [part for part in content.parts if len(part.vertices) and not len(part.faces)]
    if meshes:
        if clouds:
            notes += (f"its {sum(len(cloud.vertices) for cloud in clouds)} points beside the faces are left out",)
        vertices, faces, colors, texture = _join(meshes)
        return build_mesh(vertices, faces, colors, texture=texture, path=path, notes=notes)
    if not clouds:
        raise DataError(path, "has no faces and no points", "export the object again")
    return _build_points(clouds, path, notes)


def _build_points(parts: Sequence[Part], path: Path, notes: tuple[str, ...]) -> Points:
    points = np.concatenate([part.vertices for part in parts])
    finite = np.asarray(np.isfinite(points).all(1))
    if not finite.any():
        raise DataError(path, f"none of its {len(points)} points is finite", "export the points again")
    colors, normals = _stack([part.colors for part in parts]), _stack([part.normals for part in parts])
    dropped = {} if finite.all() else {"points that are not finite": int((~finite).sum())}
    colors = None if colors is None else colors[finite]
    return Points(points[finite], colors, None if normals is None else normals[finite], dropped, notes)


def _join(parts: Sequence[Part]) -> tuple[Array, Array, Array | None, Texture | None]:
    """Vertices, faces, colors and texture of several meshes; where only some have colors, the others are white."""
    if len(parts) > 1:
        parts = [_compact(part) for part in parts]
    starts = np.cumsum([0] + [len(part.vertices) for part in parts[:-1]])
    faces = np.concatenate([part.faces + start for part, start in zip(parts, starts, strict=True)])
    vertices = np.concatenate([part.vertices for part in parts])
    textured = any(part.skin is not None or part.face_colors is not None for part in parts)
    if textured:
        return vertices, faces, None, _join_textures(parts)
    if all(part.colors is None for part in parts):
        return vertices, faces, None, None
    return vertices, faces, np.concatenate([_colors_or_white(part) for part in parts]), None


def _compact(part: Part) -> Part:
    """The part with the vertices of its faces only: others may belong to another part, with another color there."""
    used, faces = np.unique(part.faces, return_inverse=True)
    if len(used) == len(part.vertices):
        return part
    colors = None if part.colors is None else part.colors[used]
    skin = None if part.skin is None else replace(part.skin, uv=part.skin.uv[used])
    return replace(part, vertices=part.vertices[used], faces=faces.reshape(-1, 3), colors=colors, skin=skin)


def _join_textures(parts: Sequence[Part]) -> Texture:
    skins = [part.skin for part in parts if part.skin is not None]
    images = {id(skin.image): skin.image for skin in skins}
    looks = list(dict.fromkeys((id(skin.image), skin.tint, skin.wrap) for skin in skins))
    pyramids = {key: pyramid(image) for key, image in images.items()}
    uv, rows, plain = [], [], []
    for part in parts:
        skin, count = part.skin, len(part.faces)
        uv.append(np.zeros((count, 3, 2)) if skin is None else skin.uv[part.faces])
        rows.append(np.full(count, -1 if skin is None else looks.index((id(skin.image), skin.tint, skin.wrap))))
        plain.append(_corner_colors(part))
    white = all(part.skin is not None and part.colors is None and part.face_colors is None for part in parts)
    return Texture(
        uv=np.concatenate(uv).astype(np.float64),
        image=np.concatenate(rows),
        images=tuple(pyramids[key] for key, _, _ in looks),
        tints=np.array([tint for _, tint, _ in looks], np.float32).reshape(-1, 3),
        plain=np.zeros((0, 3, 3), np.float32) if white else np.concatenate(plain),
        wraps=tuple(wrap for _, _, wrap in looks),
    )


def _corner_colors(part: Part) -> Array:
    """(F, 3, 3) float32 colors of the corners of a part."""
    if part.face_colors is not None:
        return np.repeat(part.face_colors[:, None].astype(np.float32), 3, 1)
    return _colors_or_white(part)[part.faces].astype(np.float32)


def _colors_or_white(part: Part) -> Array:
    return np.ones((len(part.vertices), 3)) if part.colors is None else part.colors


def _stack(arrays: Sequence[Array | None]) -> Array | None:
    """One array of several; None unless all are there."""
    there = [array for array in arrays if array is not None]
    return np.concatenate(there) if len(there) == len(arrays) else None
