"""What is missing from a copy of a data set, before anything is trained on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from voge.errors import DataError
from voge.io.images import read_picture
from voge.io.meshes import load_geometry
from voge.pose.data.datasets import DataSet, Item, Layout
from voge.pose.settings import LEVELS

EXAMPLES = 3  # problems of one kind that are spelt out


@dataclass(slots=True)
class Finding:
    """What was found of one list of images, or of a category's meshes."""

    name: str  # such as "car train L0"
    total: int = 0  # images or meshes
    problems: list[str] = field(default_factory=list)  # one line each
    coarse: int = 0  # objects without a fine pose: left out, no fault

    @property
    def usable(self) -> int:
        """How many can be used."""
        return max(self.total - len(self.problems) - self.coarse, 0)

    def document(self) -> dict[str, object]:
        """As JSON."""
        return {"name": self.name, "total": self.total, "usable": self.usable, "coarse": self.coarse,
                "problems": self.problems}  # fmt: skip


def check_data(data: DataSet, *, decode: bool = False) -> Iterator[Finding]:
    """Look at every list, annotation, image and mesh of a data set.

    Args:
        data: to check.
        decode: read the images as well, instead of only looking whether they are there.
    """
    for category in data.categories:
        yield _meshes(data, category)
        for split in ("train", "val") if data.layout is Layout.pascal3d else ("train", "val", "test"):
            yield _images(data, category, split, "L0", decode)
        if data.occluded is not None:
            for level in LEVELS[1:]:
                yield _images(data, category, "val", level, decode)


def _meshes(data: DataSet, category: str) -> Finding:
    files = data.mesh_files(category)
    finding = Finding(f"{category} meshes", len(files))
    if not files:
        finding.problems.append(f"no mesh of category {category} in {data.root / 'CAD'}")
    for path in files:
        try:
            load_geometry(path)
        except DataError as error:
            finding.problems.append(str(error))
    return finding


def _images(data: DataSet, category: str, split: str, level: str, decode: bool) -> Finding:
    finding = Finding(f"{category} {split} {level}")
    try:
        items = data.items(category, split, level)
    except DataError as error:
        finding.problems.append(str(error))
        return finding
    finding.total = len(items)
    for item in items:
        try:
            _look(item, decode)
        except DataError as error:
            if "coarse pose only" in str(error):
                finding.coarse += 1
            else:
                finding.problems.append(str(error))
    return finding


def _look(item: Item, decode: bool) -> None:
    annotation = item.annotation()
    if not item.image.is_file():
        raise DataError(item.image, "no such image", "copy it")
    item.visible()
    if decode:
        height, width = read_picture(item.image).shape[:2]
        if (width, height) != (annotation.width, annotation.height):
            stated = f"{annotation.width}x{annotation.height}"
            raise DataError(item.image, f"is {width}x{height}, its annotation says {stated}", "copy both again")
