"""Feature extractors: from pictures to maps an eighth as large, one vector a cell.

Every extractor is a module with `channels` that maps (B, 3, H, W), sRGB in [0, 1], H and W multiples of 32, to
(B, channels, H/8, W/8). By name:

    compact          a small residual network of this package, trained from scratch
    resnet50         the field's: ResNet-50 of torchvision with ImageNet weights where they can be had
    efficientnet     EfficientNet-Lite0, whose ImageNet weights come in a package (extra `features`)
    timm:NAME        any model of timm that gives feature maps, with its weights where they can be had
    hub:REPO:NAME    a vision transformer of torch.hub with get_intermediate_layers, such as
                     hub:facebookresearch/dinov2:dinov2_vits14

To train, they get the upsampling head of NeMo (Wang et al. 2021), and features of unit length. Fixed ones, without a
head, serve to refine a pose without training; `rgb` is then the picture itself.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, normalize

from voge.errors import ExtractorError
from voge.pose.network.backbones import Backbone, backbone

STRIDE = 8  # pixels a cell


def memory_format(device: torch.device) -> torch.memory_format:
    """The order of images and weights in memory: channels side by side on a GPU, whose convolutions want them so."""
    # On the CPU torch's strided 1 x 1 convolutions write beyond their memory when channels are (2.13, in backward).
    return torch.channels_last if device.type == "cuda" else torch.contiguous_format


def mixed(device: torch.device, precision: str) -> torch.autocast:
    """A context in which convolutions and products are of bfloat16, if `precision` says so; auto: on a GPU."""
    low = precision == "bfloat16" or (precision == "auto" and device.type == "cuda")
    return torch.autocast(device.type, torch.bfloat16, enabled=low)


class Trainable(nn.Module):
    """A backbone with the upsampling head, and features of unit length."""

    def __init__(self, backbone: Backbone, channels: int = 128, inner: int = 256) -> None:
        super().__init__()
        self.backbone, self.channels = backbone, channels
        *finer, coarsest = backbone.widths
        self.first = _double(coarsest, inner)
        self.joins = nn.ModuleList([_double(inner + width, inner) for width in reversed(finer)])
        self.out = nn.Conv2d(inner, channels, 1)

    def forward(self, images: Tensor) -> Tensor:
        """(B, channels, H/8, W/8), unit vectors."""
        *finer, coarsest = self.backbone(images)
        x = self.first(coarsest)
        for join, skip in zip(self.joins, reversed(finer), strict=True):
            x = join(torch.cat([interpolate(x, size=skip.shape[-2:], mode="bilinear", align_corners=False), skip], 1))
        return normalize(_to_stride(self.out(x), images).float(), dim=1)


class Fixed(nn.Module):
    """Features as they are: the maps of a backbone, each of unit length in every cell, side by side."""

    LEVELS = 2  # the coarsest of three says what, hardly where
    outlier = (
        1.5  # see `voge.pose.estimation.energy.target_of`: rendered and photographed features agree to about as much
    )

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone.eval().requires_grad_(False)
        self.channels = sum(backbone.widths[: self.LEVELS])

    def forward(self, images: Tensor) -> Tensor:
        """(B, channels, H/8, W/8), unit vectors."""
        maps = [normalize(_to_stride(found, images), dim=1) for found in self.backbone(images)[: self.LEVELS]]
        features: Tensor = torch.cat(maps, 1) / len(maps) ** 0.5
        return features


class Colors(nn.Module):
    """The picture itself, averaged over each cell."""

    channels = 3
    outlier = 0.2  # see `voge.pose.estimation.energy.target_of`: colors agree well or belong to something else

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H/8, W/8)."""
        return avg_pool2d(images, STRIDE)


def trainable(name: str, channels: int = 128, *, width: float = 1.0, pretrained: bool = True) -> Trainable:
    """An extractor to be trained.

    Args:
        name: see the module.
        channels: C.
        width: of `compact` and of all heads, relative to the usual.
        pretrained: start from the weights that the name stands for; without, they are random.

    Raises:
        ExtractorError: no such extractor, or a package is missing.
    """
    inner = max(int(256 * width) // 8 * 8, 16)
    return Trainable(backbone(name, pretrained, width), channels, inner)


def fixed(name: str) -> Fixed | Colors:
    """An extractor that is not trained: rgb, or a pretrained one by name.

    Raises:
        ExtractorError: no such extractor, it has no weights, or a package is missing.
    """
    if name == "rgb":
        return Colors()
    if name == "compact":
        raise ExtractorError("compact has no weights of its own; take rgb or efficientnet")
    return Fixed(backbone(name, True, 1.0))


def _double(inner: int, outer: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in (inner, outer):
        layers += [nn.Conv2d(width, outer, 3, 1, 1, bias=False), nn.BatchNorm2d(outer), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def _to_stride(maps: Tensor, images: Tensor) -> Tensor:
    size = [side // STRIDE for side in images.shape[-2:]]
    return maps if list(maps.shape[-2:]) == size else interpolate(maps, size=size, mode="bilinear", align_corners=False)
