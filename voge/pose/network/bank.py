"""The memory of features that training compares with, and the contrastive loss (NeMo, section 3.3; CoKe)."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from voge.pose.settings import Contrast


class Bank:
    """Features of one category's ellipsoids (N, C), by momentum, and of its backgrounds (M, C), the last seen."""

    def __init__(self, means: Tensor, channels: int, settings: Contrast, generator: torch.Generator) -> None:
        self.settings = settings
        count = len(means)
        device = means.device
        self.features = normalize(torch.randn(count, channels, generator=generator), dim=1).to(device)
        self.clutter = normalize(torch.randn(settings.memory, channels, generator=generator), dim=1).to(device)
        self.seen = torch.zeros(count, dtype=torch.bool, device=device)  # whose feature is no longer random
        self.filled = torch.zeros((), dtype=torch.int64, device=device)  # background features so far
        near = torch.cdist(means.double(), means.double()) < settings.separation
        self.near = near & ~torch.eye(count, dtype=torch.bool, device=device)

    def loss(self, features: Tensor, index: Tensor, backgrounds: Tensor) -> dict[str, Tensor]:
        """Each feature shall be nearest to its own ellipsoid's, of all ellipsoids and backgrounds.

        Args:
            features: (S, C) unit, sampled at visible ellipsoids.
            index: (S,) int64, which ellipsoids.
            backgrounds: (B, C) unit.

        Returns:
            `contrast`, the cross entropy, and `repulsion`, how near backgrounds are to ellipsoids.
        """
        t = self.settings.temperature
        logits = features @ self.features.mT / t
        logits = logits.masked_fill(self.near[index], -math.inf)
        apart = features @ self.clutter.mT / t + math.log(self.settings.clutter_weight)
        return {
            "contrast": cross_entropy(torch.cat([logits, apart], 1), index),
            "repulsion": self.settings.repulsion * (backgrounds @ self.features.mT).mean(),
        }

    @torch.no_grad()
    def update(self, sums: Tensor, counts: Tensor, backgrounds: Tensor) -> None:
        """Remember a batch.

        Args:
            sums: (N, C) sums of the features sampled at each ellipsoid.
            counts: (N,) how many they were.
            backgrounds: (B, C).
        """
        fresh = normalize(sums, dim=1)
        kept = torch.where(self.seen, self.settings.momentum, 0.0)[:, None]
        there = counts > 0
        mixed = normalize(kept * self.features + (1 - kept) * fresh, dim=1)
        self.features = torch.where(there[:, None], mixed, self.features)
        self.seen = self.seen | there
        places = (self.filled + torch.arange(len(backgrounds), device=sums.device)) % self.settings.memory
        self.clutter = self.clutter.index_copy(0, places, backgrounds.to(self.clutter))
        self.filled = self.filled + len(backgrounds)

    def typical_clutter(self, count: int, rounds: int = 10) -> Tensor:
        """(count, C) centers of the remembered backgrounds by k-means on the sphere."""
        memory = self.clutter[: max(min(int(self.filled), self.settings.memory), 1)]
        centers = memory[torch.linspace(0, len(memory) - 1, count, device=memory.device).long()]
        for _ in range(rounds):
            nearest = (memory @ centers.mT).argmax(1)
            sums = torch.zeros_like(centers).index_add(0, nearest, memory)
            centers = torch.where(sums.norm(dim=1, keepdim=True) > 0, normalize(sums, dim=1), centers)
        return centers

    def state(self) -> dict[str, Tensor]:
        """Return the tensors that a resumed training needs."""
        return {"features": self.features, "clutter": self.clutter, "seen": self.seen, "filled": self.filled}

    def load(self, state: dict[str, Tensor]) -> None:
        """Go on from a state."""
        for name, now in self.state().items():
            setattr(self, name, state[name].to(now))
