"""Material libraries of OBJ: the diffuse color and picture of each material."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from voge.io.readers.pictures import find_beside
from voge.meshes.textures import Wrap

# How many words follow an option of a map (www.paulbourke.net/dataformats/mtl).
_UVW = -1  # one to three numbers
_OPTIONS = {
    "-s": _UVW, "-o": _UVW, "-t": _UVW, "-mm": 2, "-blendu": 1, "-blendv": 1, "-boost": 1, "-texres": 1,
    "-clamp": 1, "-bm": 1, "-imfchan": 1, "-type": 1, "-cc": 1, "-colorspace": 1,
}  # fmt: skip


@dataclass(frozen=True)
class Material:
    """Color of a material, as its file gives it."""

    color: tuple[float, float, float] | None = None  # Kd
    picture: Path | None = None  # map_Kd, in place of Kd
    scale: tuple[float, float] = (1.0, 1.0)  # of texture coordinates
    offset: tuple[float, float] = (0.0, 0.0)
    wrap: Wrap = Wrap.repeat


def joined_lines(text: str) -> Iterator[str]:
    """The lines of a text, joined where one ends in a backslash, unless it is a remark (`# C:\\models\\`)."""
    lines = text.splitlines()
    if "\\\n" not in text and "\\\r" not in text:
        yield from lines
        return
    begun = ""
    for line in lines:
        whole = begun + line
        if whole.endswith("\\") and not whole.lstrip().startswith("#"):
            begun = whole[:-1] + " "
            continue
        yield whole
        begun = ""
    if begun:
        yield begun


def read_library(path: Path, folder: Path) -> tuple[dict[str, Material], list[str]]:
    """The materials of a library by name, and notes.

    Args:
        path: of the library.
        folder: of the OBJ file, where pictures are looked for as well.
    """
    found: dict[str, Material] = {}
    notes: list[str] = []
    name: str | None = None
    text = path.read_bytes().decode("utf-8-sig", "replace")
    for line in joined_lines(text):
        key, rest = [*line.split(None, 1), "", ""][:2]
        key, rest = key.lower(), rest.strip()
        if key != "map_kd":  # a picture's name may have a # in it
            rest = rest.partition("#")[0].strip()
        if key == "newmtl":
            name = rest
            found[name] = Material()
        elif name is None or not rest:
            continue
        elif key == "kd":
            found[name] = _with_color(found[name], rest.split(), notes, path)
        elif key == "map_kd":
            found[name] = _with_picture(found[name], rest.split(), rest, [path.parent, folder], notes, path)
        elif key in ("d", "tr") and _opacity(key, rest) < 1:
            notes.append(f"materials of {path.name} are see-through and shown opaque")
        elif key == "map_d":
            notes.append(f"materials of {path.name} are see-through by a picture (map_d) and shown opaque")
        elif key == "ke" and any(_floats(rest.split())):
            notes.append(f"materials of {path.name} shine by themselves (Ke), which is not shown")
    return found, list(dict.fromkeys(notes))


def _with_color(material: Material, words: Sequence[str], notes: list[str], path: Path) -> Material:
    if words and words[0].lower() in ("spectral", "xyz"):
        notes.append(f"a color of {path.name} is given by '{words[0]}', which is not read")
        return material
    numbers = _floats(words)
    if len(numbers) not in (1, 3):
        notes.append(f"a color of {path.name} is not three numbers: Kd {' '.join(words)}"[:120])
        return material
    red, green, blue = (min(max(n, 0.0), 1.0) for n in (numbers * 3 if len(numbers) == 1 else numbers))
    return Material((red, green, blue), material.picture, material.scale, material.offset, material.wrap)


def _with_picture(
    material: Material, words: Sequence[str], rest: str, folders: list[Path], notes: list[str], path: Path
) -> Material:
    scale, offset, wrap, start = (1.0, 1.0), (0.0, 0.0), Wrap.repeat, 0
    while start < len(words) and words[start].lower() in _OPTIONS:
        option, takes = words[start].lower(), _OPTIONS[words[start].lower()]
        if takes == _UVW:
            numbers: list[float] = []
            while len(numbers) < 3 and start + 1 + len(numbers) < len(words):
                number = _floats(words[start + 1 + len(numbers) : start + 2 + len(numbers)])
                if not number:
                    break
                numbers += number
            used = len(numbers)
            if option == "-s" and numbers:
                scale = (numbers[0], numbers[1] if used > 1 else 1.0)
            elif option == "-o" and numbers:
                offset = (numbers[0], numbers[1] if used > 1 else 0.0)
        else:
            used = takes
            if option == "-mm" and _floats(words[start + 1 : start + 3]) not in ([0.0, 1.0], []):
                notes.append(f"a picture of {path.name} is made brighter or darker (-mm), which is not shown")
            if option == "-clamp" and words[start + 1 : start + 2] == ["on"]:
                wrap = Wrap.clamp
        start += 1 + used
    # The name as it stands, since it may have blanks in it.
    name = rest.split(None, start)[start] if start < len(words) else ""
    picture = find_beside(name, folders) or find_beside(name.partition(" #")[0], folders)
    if picture is None:
        notes.append(f"the texture {name.strip()[:120]} of {path.name} is not beside it")
    return Material(material.color, picture, scale, offset, wrap)


def _opacity(key: str, rest: str) -> float:
    numbers = _floats([word for word in rest.split() if word != "-halo"][:1])
    if not numbers:
        return 1.0
    return numbers[0] if key == "d" else 1 - numbers[0]


def _floats(words: Sequence[str]) -> list[float]:
    try:
        return [float(word) for word in words]
    except ValueError:
        return []
