"""Settings of training, estimation, refinement and matching."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from voge.convert.settings import Conversion, MeshMethod
from voge.io.settings import Units
from voge.option import Settings, nested, option
from voge.rendering.settings import FILTER, RenderSettings

LEVELS = ("L0", "L1", "L2", "L3")  # share of the object hidden: 0, 20 to 40, 40 to 60, 60 to 80 %
_PRECISIONS = {"auto", "bfloat16", "float32"}
_FILTER = "blur of the ellipsoids for coarse maps, cells"
_PRECISION = "precision of the network: bfloat16 or float32; auto: bfloat16 on a GPU"
_ONE_PRECISION = "must be auto, bfloat16 or float32"


class Shape(str, Enum):
    """The one shape that stands for all members of a category."""

    cuboid = "cuboid"  # of the models' mean size, as in NeMo
    mesh = "mesh"  # the model of the most usual size


class Free(str, Enum):
    """The part of a pose that is unknown."""

    rotation = "rotation"  # the object's distance and its place in the picture are given
    distance = "distance"  # and the distance
    pose = "pose"  # everything


class Method(str, Enum):
    """The method that refines poses."""

    lm = "lm"  # Levenberg-Marquardt
    adam = "adam"
    none = "none"


class Block(str, Enum):
    """The factor that Adam's gradients do not pass, for the paper's ablation (table 4)."""

    none = "none"
    transmittance = "transmittance"  # T(l): weights change with each ellipsoid's own density only
    density = "density"  # x: weights change with what stands before only


@dataclass(frozen=True, kw_only=True)
class Contrast(Settings):
    """Settings of the contrastive loss, which makes features differ; the defaults are NeMo's.

    Raises:
        ValueError: a value outside its range; names the setting, the rule and the value.
    """

    temperature: float = option(0.07, "temperature of the contrastive loss", above=0)
    momentum: float = option(0.9, "share of an ellipsoid's feature that a batch leaves as it was", at_least=0, below=1)
    # 48 of 600 pixels.
    separation: float = option(0.08, "units: ellipsoids nearer to each other are not told apart", at_least=0)
    clutter: int = option(5, "background features an image that are remembered", at_least=1)
    memory: int = option(2560, "background features that are kept")
    clutter_weight: float = option(5e-3, "weight of one background feature, relative to one of an ellipsoid", above=0)
    repulsion: float = option(0.1, "weight of the backgrounds' similarity to ellipsoids", at_least=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.memory < self.clutter:
            raise ValueError(f"memory must be at least clutter, got {self.memory}")


@dataclass(frozen=True, kw_only=True)
class Augmentation(Settings):
    """Settings of the variation of training pictures; the cameras vary with them.

    Raises:
        ValueError: a value outside its range; names the setting, the rule and the value.
    """

    zoom: float = option(0.1, "crops are scaled by up to this share", at_least=0, below=1)
    shift: float = option(0.05, "crops are moved by up to this share of their sides", at_least=0, below=1)
    color: float = option(
        0.3, "brightness, contrast and saturation are varied by up to this share", at_least=0, below=1
    )
    mirror: bool = option(
        False, "half of the pictures are mirrored: for categories that are their own mirror image in x"
    )
    hide: float = option(
        0.0, "patches hide up to this share of a crop; their features are background's", at_least=0, below=1
    )

    @property
    def patches(self) -> int:
        """The largest number of patches: about twice what `hide` takes, since each covers a tenth of what is left."""
        return min(math.ceil(-20 * math.log1p(-self.hide)), 255)


@dataclass(frozen=True, kw_only=True)
class Training(Settings):
    """Settings of a training of neural ellipsoids.

    Raises:
        ValueError: a value outside its range; names the setting, the rule and the value.
    """

    categories: list[str] | None = option(
        None, "categories to train", flag="--categories", metavar="C,...", default_text="all of the data set"
    )
    extractor: str = option(
        "resnet50", "network: compact, resnet50, efficientnet, timm:NAME, hub:REPO:NAME", flag="--extractor"
    )
    pretrained: bool = option(True, "begin with the weights that the extractor's name stands for")
    channels: int = option(128, "channels of the features", at_least=2)
    width: float = option(1.0, "width of the network's head, and of `compact`, relative to the usual")
    shape: Shape = option(Shape.cuboid, "cuboid of the models' mean size, or mesh: the most usual model")
    count: int = option(1000, "ellipsoids a category, about", at_least=8)
    method: MeshMethod = option(
        MeshMethod.hat, "how the shape becomes ellipsoids: hat, triangle, or vertex, the paper's"
    )
    coverage: float | None = option(None, "zeta of method vertex")
    filter: float = option(FILTER, _FILTER, at_least=0)
    size: float = option(1.0, "size of the crops: at 1 an object of size 1 spans 600 pixels", above=0)
    epochs: float = option(100.0, "passes over all training images", above=0, flag="--epochs", metavar="N")
    batch: int = option(32, "images a step", at_least=2, flag="--batch", metavar="N")
    rate: float = option(
        1e-3, "highest rate of AdamW: the rate grows over the first 15 % of the steps, then falls to 0", above=0
    )
    decay: float = option(1e-4, "decay of weights by AdamW")
    clutter: int = option(8, "typical backgrounds that the model keeps", at_least=1)
    precision: str = option("auto", _PRECISION, holds=_PRECISIONS.__contains__, rule=_ONE_PRECISION)
    workers: int = option(4, "threads that read images", at_least=1, flag="--workers", metavar="N")
    memory: float = option(
        4.0, "GiB of the device for decoded images; those that do not fit are read in every epoch", at_least=0
    )
    seed: int = option(0, "seed of all random numbers", flag="--seed", metavar="N")
    contrast: Contrast = nested(Contrast, "how features are told apart")
    augmentation: Augmentation = nested(Augmentation, "how training pictures are varied")
    settings: RenderSettings = nested(RenderSettings, "how rays meet ellipsoids", promote=True)


@dataclass(frozen=True, kw_only=True)
class Refinement(Settings):
    """Settings of the refinement of poses.

    Raises:
        ValueError: a value outside its range; names the setting, the rule and the value.
    """

    method: Method = option(Method.lm, "method that refines the best poses", flag="--refine")
    # 12 steps of lm match 300 of Adam, the paper's number.
    steps: int | None = option(
        None,
        "steps of the refinement",
        at_least=0,
        default_text="12 of lm, 30 where more than the rotation is free, 300 of adam",
    )
    free: Free | None = option(
        None, "rotation, distance or pose: what is unknown", default_text="rotation in data sets, pose in pictures"
    )
    damping: float = option(1e-2, "damping of the first step of lm", above=0)
    block: Block = option(Block.none, "transmittance or density: what adam's gradients do not pass (table 4)")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.block is not Block.none and self.method is not Method.adam:
            raise ValueError(f"block is of method adam, got {self.block.value} with {self.method.value}")

    @property
    def unknown(self) -> Free:
        """The part of the pose that is refined, resolved."""
        return self.free or Free.rotation

    @property
    def count(self) -> int:
        """The number of steps, resolved."""
        if self.method is Method.none:
            return 0
        if self.steps is not None:
            return self.steps
        return 300 if self.method is Method.adam else 12 if self.unknown is Free.rotation else 30


@dataclass(frozen=True, kw_only=True)
class Estimation(Settings):
    """Settings of an estimate of poses.

    Raises:
        ValueError: a value outside its range; names the setting, the rule and the value.
    """

    starts: int = option(144, "poses that are scored", at_least=1, flag="--starts", metavar="N")
    candidates: int = option(4, "poses with the best scores, which are refined", at_least=1)
    filter: float = option(FILTER, _FILTER, at_least=0)
    precision: str = option("auto", _PRECISION, holds=_PRECISIONS.__contains__, rule=_ONE_PRECISION)
    refinement: Refinement = nested(Refinement, "how the best poses are refined", promote=True)
    settings: RenderSettings = nested(RenderSettings, "how rays meet ellipsoids", promote=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.candidates > self.starts:
            raise ValueError(f"candidates must lie between 1 and starts ({self.starts}), got {self.candidates}")


@dataclass(frozen=True, kw_only=True)
class SetEstimation(Estimation):
    """Settings of estimates for a data set: the estimator, and which images it gets."""

    categories: list[str] | None = option(
        None, "categories of a data set", flag="--categories", metavar="C,...", default_text="all of the model"
    )
    levels: list[str] = option(
        ["L0"],
        "levels of a data set: L0 to L3",
        holds=lambda levels: bool(levels) and set(levels) <= set(LEVELS),
        rule=f"must be some of {', '.join(LEVELS)}",
        flag="--level",
        metavar="L,...",
    )
    split: str = option("val", "list of images: train, val or test")
    occluded: str | None = option(
        None, "folder of Occluded PASCAL3D+", default_text="looked for in and beside the data set"
    )
    limit: int | None = option(
        None, "images a category and level at most", at_least=1, flag="--limit", metavar="N", default_text="all"
    )
    batch: int = option(32, "images at once", at_least=1, flag="--batch", metavar="N")
    workers: int = option(4, "threads that read images", at_least=1)


@dataclass(frozen=True, kw_only=True)
class PictureEstimation(Estimation):
    """Settings of an estimate for pictures: the estimator, and what is known of the object in them."""

    features: str | None = option(
        None,
        "without training: rgb, or a pretrained extractor such as efficientnet",
        flag="--features",
        default_text="",
    )
    category: str | None = option(
        None, "category of the object in pictures", flag="--category", default_text="the model's only one"
    )
    box: list[float] | None = option(
        None,
        "where the object is in a picture, pixels",
        holds=lambda box: len(box) == 4 and box[0] < box[2] and box[1] < box[3],
        rule="must be left,top,right,bottom, left of right and top above bottom",
        flag="--box",
        metavar="L,T,R,B",
    )
    mask: str | None = option(
        None, "picture of the object's silhouette, in place of --box", flag="--mask", metavar="FILE"
    )
    mask_id: int | None = option(
        None, "id of the object in masks that are maps of ids", at_least=0, default_text="any above 0"
    )
    pose: str | None = option(None, "camera and rough pose (pose.json), for --features", flag="--pose", metavar="FILE")
    focal: float | None = option(
        None, "focal length, pixels", above=0, default_text="unknown: then distances are of no meaning"
    )
    units: Units | None = option(None, "unit of the model: mm, cm or m; needed for bop.csv")
    convert: Conversion = nested(Conversion, "how a mesh given as model is converted")


@dataclass(frozen=True, kw_only=True)
class MatchSettings(Settings):
    """Settings of matching views.

    Raises:
        ValueError: a value outside its range; names the setting, the rule and the value.
    """

    features: str = option("efficientnet", "a pretrained extractor", flag="--features")
    model: str | None = option(
        None,
        "run of voge pose train, whose network and shapes serve in place of `features`; of an anchor also its shape",
        flag="--model",
        metavar="RUN|FILE",
    )
    shape: Shape = option(
        Shape.cuboid, "shape of a data set's objects, without model: cuboid of the meshes' mean size, or mesh"
    )
    count: int = option(800, "number of ellipsoids, about", at_least=1)
    size: float = option(0.6, "size of the crops: at 1 an object of size 1 spans 600 pixels", above=0)
    filter: float = option(FILTER, _FILTER, at_least=0)
    delta: list[float] = option(
        [0.0, 15.0, 30.0, 45.0, 60.0],
        "degrees further in azimuth",
        holds=bool,
        rule="must have at least one angle",
        flag="--delta",
        metavar="D,...",
    )
    top: int = option(3, "matches to report", at_least=1, flag="--top", metavar="N")
    categories: list[str] | None = option(
        None, "categories of a data set", flag="--categories", metavar="C,...", default_text="all"
    )
    split: str = option("val", "list of a data set's images: train, val or test")
    anchors: int = option(
        50, "pictures of a category that are anchors; all are the gallery, each but for the anchor itself", at_least=1
    )
    limit: int | None = option(
        None, "pictures a category at most", at_least=1, flag="--limit", metavar="N", default_text="all"
    )
    batch: int = option(32, "pictures that the extractor takes at once", at_least=1)
    workers: int = option(4, "threads that read images", at_least=1)
    settings: RenderSettings = nested(RenderSettings, "how rays meet ellipsoids", promote=True)
