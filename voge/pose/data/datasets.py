"""Data sets in a user's own copy: PASCAL3D+ (release 1.1), Occluded PASCAL3D+ and ObjectNet3D.

Listing a set reads its text lists only; an image's annotation is read when it is asked for, so that one broken file
costs one image.

    PASCAL3D+            Annotations/car_imagenet/NAME.mat   Images/car_imagenet/NAME.JPEG   CAD/car/01.off
                         Image_sets/car_imagenet_train.txt, car_imagenet_val.txt
    Occluded PASCAL3D+   images/carFGL1_BGL1/NAME.JPEG       annotations/carFGL1_BGL1/NAME.npz
                         lists/carFGL1_BGL1.txt; poses are PASCAL3D+'s
    ObjectNet3D          Annotations/NAME.mat   Images/NAME.JPEG   CAD/off/car/01.off
                         Image_sets/classes.txt, train.txt, val.txt, test.txt
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from voge.errors import DataError
from voge.io.meshes import load_geometry
from voge.meshes.mesh import Mesh
from voge.pose.data.records import Annotation, read_record
from voge.pose.settings import LEVELS

IMAGE_SUFFIXES = (".JPEG", ".jpeg", ".jpg", ".JPG", ".png")
OCCLUDED = ("OccludedPASCAL3D", "OccludedPascal3D", "OccludedPASCAL3D+")  # folders to look for beside PASCAL3D+
SOURCE = "imagenet"  # the part of PASCAL3D+ that is trained and tested on


class Layout(str, Enum):
    """The layout of a data set's folder."""

    pascal3d = "pascal3d"
    objectnet3d = "objectnet3d"


@dataclass(frozen=True, slots=True)
class Item:
    """One image of a list, of which nothing has been read yet."""

    name: str  # the image's stem, unique within its category and level
    category: str
    level: str  # of LEVELS
    image: Path
    record: Path  # the annotation
    mask: Path | None = None  # of Occluded PASCAL3D+: the annotation of what is hidden

    @property
    def key(self) -> str:
        """A name that no other image of any list has."""
        return f"{self.category}/{self.level}/{self.name}"

    def annotation(self) -> Annotation:
        """The first object of the category that has a fine pose, as the published evaluations take it.

        Raises:
            DataError: the file cannot be used or has no such object.
        """
        found = read_record(self.record, self.category)
        if not found:
            raise DataError(self.record, f"its {self.category} has a coarse pose only", "leave the image out")
        return found[0]

    def visible(self) -> NDArray[np.bool_] | None:
        """(H, W) where the object is seen, for occluded images.

        Raises:
            DataError: the file cannot be used.
        """
        if self.mask is None:
            return None
        try:
            with np.load(self.mask, allow_pickle=False) as file:
                whole, hidden = np.asarray(file["mask"]), np.asarray(file["occluder_mask"])
        except (OSError, ValueError, KeyError) as error:
            raise DataError(self.mask, f"cannot be read ({error})", "copy it again") from error
        # Masks of the published set are JPEG's: 0 to 255, blurred.
        return np.asarray((whole > (127 if whole.dtype == np.uint8 and whole.max() > 1 else 0)) & (hidden == 0))


@dataclass(frozen=True, slots=True)
class DataSet:
    """A folder that holds PASCAL3D+ or ObjectNet3D."""

    root: Path
    layout: Layout
    occluded: Path | None = None  # Occluded PASCAL3D+

    @property
    def categories(self) -> list[str]:
        """The names of the categories that have lists, sorted."""
        if self.layout is Layout.objectnet3d:
            return _lines(self.root / "Image_sets" / "classes.txt")
        suffix = f"_{SOURCE}_train.txt"
        lists = sorted((self.root / "Image_sets").glob(f"*{suffix}"))
        return [path.name.removesuffix(suffix) for path in lists]

    def list_file(self, category: str, split: str, level: str = "L0") -> Path:
        """The text file that lists images."""
        if level != "L0":
            return self._occluded_root() / "lists" / f"{occluded_name(category, level)}.txt"
        name = f"{split}.txt" if self.layout is Layout.objectnet3d else f"{category}_{SOURCE}_{split}.txt"
        return self.root / "Image_sets" / name

    def items(self, category: str, split: str, level: str = "L0") -> list[Item]:
        """The images of a list.

        Args:
            category: one of `categories`; ObjectNet3D's lists mix them, so only images whose annotation names it
                are kept, which reads the annotations.
            split: train or val (ObjectNet3D: test as well).
            level: L0, or L1 to L3 of Occluded PASCAL3D+ (which has test images only).

        Raises:
            DataError: there is no such list.
        """
        if category not in self.categories:
            raise DataError(self.root, f"has no category {category}", f"it has {', '.join(self.categories)}")
        names = [name.rsplit(".", 1)[0] if name.endswith(IMAGE_SUFFIXES) else name
                 for name in _lines(self.list_file(category, split, level))]  # fmt: skip
        made = [self._item(name, category, level) for name in names]
        return [item for item in made if _names(item)] if self.layout is Layout.objectnet3d else made

    def mesh_files(self, category: str) -> list[Path]:
        """The models of a category, by number."""
        parts = ("CAD", "off", category) if self.layout is Layout.objectnet3d else ("CAD", category)
        return sorted(self.root.joinpath(*parts).glob("*.off"))

    def meshes(self, category: str) -> list[Mesh]:
        """The models themselves.

        Raises:
            DataError: there are none, or one cannot be read or has no faces.
        """
        files = self.mesh_files(category)
        if not files:
            folder = "CAD/off" if self.layout is Layout.objectnet3d else "CAD"
            raise DataError(self.root / folder / category, f"no mesh of category {category}", "copy its .off files")
        made = []
        for path in files:
            mesh = load_geometry(path)
            if not isinstance(mesh, Mesh):
                raise DataError(path, "has no faces", "copy it again")
            made.append(mesh)
        return made

    def _occluded_root(self) -> Path:
        if self.occluded is None:
            raise DataError(
                self.root, "Occluded PASCAL3D+ is not beside it", "give its folder by data.occluded=FOLDER, or take L0"
            )
        return self.occluded

    def _item(self, name: str, category: str, level: str) -> Item:
        if self.layout is Layout.objectnet3d:
            images, records = self.root / "Images", self.root / "Annotations"
        else:
            images, records = (self.root / part / f"{category}_{SOURCE}" for part in ("Images", "Annotations"))
        mask = None
        if level != "L0":
            folder = occluded_name(category, level)
            images = self._occluded_root() / "images" / folder
            mask = self._occluded_root() / "annotations" / folder / f"{name}.npz"
        return Item(name, category, level, _image(images, name), records / f"{name}.mat", mask)


def open_data(root: Path, occluded: Path | None = None) -> DataSet:
    """The data set in a folder, told by what is there.

    Args:
        root: of PASCAL3D+ or ObjectNet3D.
        occluded: of Occluded PASCAL3D+; None looks in and beside `root`.

    Raises:
        DataError: it is neither.
    """
    if not root.is_dir():
        raise DataError(root, "no such folder", "give the folder of PASCAL3D+ or ObjectNet3D")
    if (root / "Image_sets" / "classes.txt").is_file():
        return DataSet(root, Layout.objectnet3d)
    if any((root / "Image_sets").glob(f"*_{SOURCE}_*.txt")):
        near = [folder / name for folder in (root, root.parent) for name in OCCLUDED]
        found = occluded or next((folder for folder in near if (folder / "lists").is_dir()), None)
        if found is not None and not (found / "lists").is_dir():
            raise DataError(found, "has no folder 'lists'", "give the folder of Occluded PASCAL3D+")
        return DataSet(root, Layout.pascal3d, found)
    if (root / "lists").is_dir() and (root / "images").is_dir():
        raise DataError(root, "is Occluded PASCAL3D+, whose poses are PASCAL3D+'s", "give PASCAL3D+'s folder instead")
    raise DataError(
        root, f"has neither Image_sets/*_{SOURCE}_train.txt nor Image_sets/classes.txt",
        "give the folder of PASCAL3D+ or ObjectNet3D",
    )  # fmt: skip


def occluded_name(category: str, level: str) -> str:
    """The name of a level's lists and folders in Occluded PASCAL3D+."""
    number = LEVELS.index(level)
    return f"{category}FGL{number}_BGL{number}"


def _image(folder: Path, name: str) -> Path:
    """The image's file; the usual name where none is there, to be named in errors."""
    return next((p for s in IMAGE_SUFFIXES if (p := folder / f"{name}{s}").is_file()), folder / f"{name}.JPEG")


def _names(item: Item) -> bool:
    """Say whether ObjectNet3D's annotation of an image has an object of the category."""
    try:
        read_record(item.record, item.category)
    except DataError as error:
        return "has no object of category" not in str(error)  # a broken file is told when it is used
    return True


def _lines(path: Path) -> list[str]:
    """The lines of a list, without empty ones."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            path, "no such list" if not path.exists() else "cannot be read as text", "copy it again"
        ) from error
    return [line.split()[0] for line in text.splitlines() if line.strip()]
