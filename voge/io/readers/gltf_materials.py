"""Base colors of glTF (sections 3.8 and 3.9): factors, pictures, texture coordinates, transforms and wrap modes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from voge.io.readers.gltf_data import Document
from voge.meshes.mesh import Array
from voge.meshes.textures import Wrap

SPECULAR = "KHR_materials_pbrSpecularGlossiness"
TRANSFORM = "KHR_texture_transform"
WEBP = "EXT_texture_webp"
BASIS = "KHR_texture_basisu"
_WRAPS = {10497: Wrap.repeat, 33071: Wrap.clamp, 33648: Wrap.mirror}
# Parts of a material that change what is seen and are not shown here.
_UNSHOWN = ("normalTexture", "occlusionTexture", "emissiveTexture")


@dataclass(frozen=True)
class Look:
    """The base color of a material."""

    factor: tuple[float, float, float]  # as stored
    image: Array | None = None  # (H, W, 3) uint8, rows from the top; one object a picture
    texture_set: int = 0  # which TEXCOORD
    wrap: tuple[Wrap, Wrap] = (Wrap.repeat, Wrap.repeat)
    transform: Array | None = None  # (3, 3), from stored to used coordinates, v downwards

    def coordinates(self, stored: Array) -> Array:
        """The texture coordinates (V, 2) of a picture, v upwards, from those of the file, v downwards."""
        if self.transform is not None:
            stored = stored @ self.transform[:2, :2].T + self.transform[:2, 2]
        return np.stack([stored[:, 0], 1 - stored[:, 1]], 1)


class Materials:
    """The materials of a document, and notes of what they hold beyond the base color."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.notes: list[str] = []
        self.look = cache(self._look)
        self._image = cache(self._read_image)

    def _look(self, index: int | None) -> Look | None:
        """The base color of a material; None for none, which leaves the vertices' own."""
        if index is None:
            return None
        material, place = self.document.item("materials", index), f"materials[{index}]"
        self._note_unshown(material)
        extended = _mapping(material.get("extensions")).get(SPECULAR)
        owner: Mapping[str, Any]
        if isinstance(extended, dict):
            owner, factor, texture = extended, "diffuseFactor", "diffuseTexture"
        else:
            owner, factor, texture = (
                _mapping(material.get("pbrMetallicRoughness")),
                "baseColorFactor",
                "baseColorTexture",
            )
        red, green, blue, _alpha = np.clip(self.document.vector(owner, factor, (1.0,) * 4, place), 0, 1).tolist()
        info = owner.get(texture)
        if not isinstance(info, dict):
            return Look((red, green, blue))
        return self._textured((red, green, blue), info, f"{place}.{texture}")

    def _textured(self, factor: tuple[float, float, float], info: dict[str, Any], place: str) -> Look:
        texture = self.document.item("textures", info.get("index"))
        image = self._picture(texture)
        moved = _mapping(_mapping(info.get("extensions")).get(TRANSFORM))
        number = self.document.number(info, "texCoord", place, 0)
        number = self.document.number(moved, "texCoord", f"{place}.{TRANSFORM}", number)
        wrap = (Wrap.repeat, Wrap.repeat)
        if "sampler" in texture:
            sampler = self.document.item("samplers", texture["sampler"])
            modes = [sampler.get(key, 10497) for key in ("wrapS", "wrapT")]
            if not all(mode in _WRAPS for mode in modes):
                raise self.document.wrong("a sampler", f"has wrap modes {modes}")
            wrap = (_WRAPS[modes[0]], _WRAPS[modes[1]])
        return Look(factor, image, number, wrap, self._transform(moved, place) if moved else None)

    def _transform(self, moved: Mapping[str, Any], place: str) -> Array:
        """KHR_texture_transform: translation times rotation times scale."""
        (x, y), (wide, high) = (
            self.document.vector(moved, key, default, f"{place}.{TRANSFORM}")
            for key, default in (("offset", (0.0, 0.0)), ("scale", (1.0, 1.0)))
        )
        angle = float(self.document.vector({"r": [moved.get("rotation", 0.0)]}, "r", (0.0,), place)[0])
        c, s = np.cos(angle), np.sin(angle)
        return np.array([[c * wide, s * high, x], [-s * wide, c * high, y], [0, 0, 1]])

    def _picture(self, texture: dict[str, Any]) -> Array | None:
        """The pixels of a texture; its own picture where an extension's cannot be read."""
        extended = _mapping(texture.get("extensions"))
        sources = [_mapping(extended[name]).get("source") for name in (WEBP,) if name in extended]
        sources.append(texture.get("source"))
        if sources == [None]:
            named = f" ({BASIS})" if BASIS in extended else ""
            self.notes.append(f"a texture has no picture that can be read{named}, so colors come from the materials")
            return None
        return self._image(next(source for source in sources if source is not None))

    def _read_image(self, index: int) -> Array | None:
        from voge.io.readers.pictures import texture_pixels

        image = self.document.item("images", index)
        if "bufferView" in image:
            data, _ = self.document.view(self.document.number(image, "bufferView", f"images[{index}]"))
        else:
            try:
                data = self.document.resolve(image.get("uri"))
            except FileNotFoundError as error:
                self.notes.append(f"its texture {error} is not beside it")
                return None
        try:
            return texture_pixels(data)
        except ValueError as error:
            self.notes.append(
                f"its texture images[{index}] cannot be read ({error}), so colors come from the materials"
            )
            return None

    def _note_unshown(self, material: Mapping[str, Any]) -> None:
        metallic = _mapping(material.get("pbrMetallicRoughness"))
        found = [name for name in _UNSHOWN if name in material]
        found += ["metallicRoughnessTexture"] * ("metallicRoughnessTexture" in metallic)
        if any(_numbers(material.get("emissiveFactor"))) and "emissiveTexture" not in found:
            found.append("emissiveFactor")
        if found:
            self.notes.append(f"its materials have {', '.join(found)}, which are not shown")
        if material.get("alphaMode", "OPAQUE") != "OPAQUE":
            self.notes.append(f"its materials are see-through (alphaMode {material['alphaMode']}) and shown opaque")


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _numbers(value: Any) -> list[float]:
    return [n for n in value if isinstance(n, (int, float))] if isinstance(value, list) else []
