"""Checks of a copy of a data set: what is missing is found before anything is trained on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from voge.errors import DataError
from voge.io.images import read_picture
from voge.io.meshes import load_geometry
from voge.pose.data.datasets import DataSet, Item, Layout, open_data
from voge.pose.settings import LEVELS

EXAMPLES = 3  # problems of one list that are spelt out in a report


@dataclass(slots=True)
class Finding:
    """The state of one list of images, or of a category's meshes."""

    name: str  # such as "car train L0"
    total: int = 0  # images or meshes
    problems: list[str] = field(default_factory=list)  # one line each
    coarse: int = 0  # objects without a fine pose: left out, no fault

    @property
    def usable(self) -> int:
        """The number of images or meshes that can be used."""
        return max(self.total - len(self.problems) - self.coarse, 0)

    def document(self) -> dict[str, object]:
        """Return plain values for a JSON file."""
        return {"name": self.name, "total": self.total, "usable": self.usable, "coarse": self.coarse,
                "problems": self.problems}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Checked:
    """A data set, and the state of its lists and meshes."""

    data: DataSet
    findings: tuple[Finding, ...]

    def document(self) -> dict[str, Any]:
        """Return plain values for a JSON file."""
        return {
            "data": str(self.data.root),
            "layout": self.data.layout.value,
            "occluded": None if self.data.occluded is None else str(self.data.occluded),
            "usable": sum(finding.usable for finding in self.findings),
            "problems": sum(len(finding.problems) for finding in self.findings),
            "lists": [finding.document() for finding in self.findings],
        }

    def lines(self, everything: bool = False) -> list[str]:
        """A report, with EXAMPLES problems of each list, or with all."""
        data = self.data
        beside = f"Occluded PASCAL3D+: {data.occluded}" if data.occluded else "no Occluded PASCAL3D+ beside it"
        lines = [f"{data.root}: {data.layout.value}, {len(data.categories)} categories", beside]
        width = max((len(finding.name) for finding in self.findings), default=0)
        for finding in self.findings:
            coarse = f", {finding.coarse} with a coarse pose only" if finding.coarse else ""
            lines.append(f"{finding.name.ljust(width)}  {finding.usable} of {finding.total} usable{coarse}")
            shown = finding.problems if everything else finding.problems[:EXAMPLES]
            lines += [f"    {problem}" for problem in shown]
            if more := len(finding.problems) - len(shown):
                lines.append(f"    and {more} more; -v lists them")
        return lines


def check_data(
    folder: str | Path,
    occluded: str | Path | None = None,
    *,
    decode: bool = False,
    watch: Callable[[Finding], object] | None = None,
) -> Checked:
    """Look at every list, annotation, image and mesh of a data set, as `voge pose check-data` does.

    Args:
        folder: of PASCAL3D+ or ObjectNet3D.
        occluded: folder of Occluded PASCAL3D+; None looks in and beside `folder`.
        decode: read the images as well, instead of only looking whether they are there.
        watch: gets each finding as it is made.

    Raises:
        DataError: the folder is no data set.
    """
    data = open_data(Path(folder), None if occluded is None else Path(occluded))
    found = []
    for finding in findings(data, decode=decode):
        if watch is not None:
            watch(finding)
        found.append(finding)
    return Checked(data, tuple(found))


def findings(data: DataSet, *, decode: bool = False) -> Iterator[Finding]:
    """One finding of each list of images, and of the meshes of each category.

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
