"""Triangle meshes and point clouds from files.

Whatever trimesh reads (OBJ with MTL, GLB and glTF, PLY, STL, OFF) and, read here, COFF colors,
`.xyz` text and `.npy`/`.npz` arrays. Colors are the file's numbers scaled to [0, 1]: nothing is
converted between linear and sRGB. Nothing is recentered or rescaled.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from voge.errors import DataError
from voge.io.files import check_not_empty
from voge.io.mesh_files import Part, read_parts
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
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the parsers' remarks on their own code help nobody here
            parts, notes = read_parts(path)
    except DataError:
        raise
    except Exception as error:  # parsers fail with whatever they met
        reason = f"{error or type(error).__name__}".splitlines()[0][:200]
        raise DataError(path, f"cannot be read as {path.suffix} ({reason})", "is it complete?") from error
    meshes = [part for part in parts if len(part.faces)]
    if meshes:
        vertices, faces, colors, texture = _join(meshes)
        return build_mesh(vertices, faces, colors, texture=texture, path=path, notes=notes)
    clouds = [part for part in parts if len(part.vertices)]
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
    starts = np.cumsum([0] + [len(part.vertices) for part in parts[:-1]])
    faces = np.concatenate([part.faces + start for part, start in zip(parts, starts, strict=True)])
    vertices = np.concatenate([part.vertices for part in parts])
    texture = _join_textures(parts) if any(part.skin is not None for part in parts) else None
    if texture is not None or all(part.colors is None for part in parts):
        return vertices, faces, None, texture
    return vertices, faces, np.concatenate([_colors_or_white(part) for part in parts]), None


def _join_textures(parts: Sequence[Part]) -> Texture:
    skins = [part.skin for part in parts if part.skin is not None]
    images = {id(skin.image): skin.image for skin in skins}
    looks = list(dict.fromkeys((id(skin.image), skin.tint) for skin in skins))
    pyramids = {key: pyramid(image) for key, image in images.items()}
    uv, rows, plain = [], [], []
    for part in parts:
        skin = part.skin
        uv.append(np.zeros((len(part.faces), 3, 2)) if skin is None else skin.uv[part.faces])
        rows.append(np.full(len(part.faces), -1 if skin is None else looks.index((id(skin.image), skin.tint))))
        plain.append(_colors_or_white(part)[part.faces].astype(np.float32))
    return Texture(
        uv=np.concatenate(uv).astype(np.float64),
        image=np.concatenate(rows),
        images=tuple(pyramids[key] for key, _ in looks),
        tints=np.array([tint for _, tint in looks], np.float32),
        plain=np.concatenate(plain) if len(skins) < len(parts) else np.zeros((0, 3, 3), np.float32),
    )


def _colors_or_white(part: Part) -> Array:
    return np.ones((len(part.vertices), 3)) if part.colors is None else part.colors


def _stack(arrays: Sequence[Array | None]) -> Array | None:
    """One array of several; None unless all are there."""
    there = [array for array in arrays if array is not None]
    return np.concatenate(there) if len(there) == len(arrays) else None
