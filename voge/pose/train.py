"""Training of neural ellipsoids: a network whose features tell places on a category's surface apart (section 4.2).

    trainer = Trainer(prepare(data, settings), settings, torch.device("cuda"))
    for step in trainer.run():
        print(step.values())
    trainer.model().save(path)

With a process group of torch.distributed, every process takes its share of each batch; gradients and the bank are the
same everywhere.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, normalize

from voge.convert import MeshMethod
from voge.ellipsoids import Ellipsoids
from voge.io import DataError
from voge.optimise import DivergedError, Step
from voge.pose.bank import Bank, Contrast
from voge.pose.crops import Framing, find_framing
from voge.pose.data import DataSet, Item
from voge.pose.features import STRIDE, trainable
from voge.pose.model import Category, PoseModel, Shape, shape_ellipsoids
from voge.pose.records import Annotation
from voge.pose.sampling import FILTER, on_cells, sample_views, widened
from voge.pose.views import Augmentation, Batch, CategoryBatches, Views, cameras_of, collate
from voge.render import trace
from voge.settings import RenderSettings

VISIBLE = 0.2  # of the weight of an ellipsoid in full view: less, and its sample is mostly something else's
BACKGROUND = 0.01  # alpha below which a cell shows background alone


@dataclass(frozen=True, kw_only=True)
class Training:
    """How to train.

    Raises:
        ValueError: a value outside its range; names the setting, the rule and the value.
    """

    extractor: str = "resnet50"
    channels: int = 128  # of the features
    width: float = 1.0  # of the network's head, and of `compact`
    pretrained: bool = True
    shape: Shape = Shape.cuboid
    count: int = 1000  # ellipsoids a category, about
    method: MeshMethod = MeshMethod.hat
    coverage: float | None = None  # zeta, of method `vertex`
    filter: float = FILTER  # cells (voge.pose.sampling.widened)
    size: float = 1.0  # of the crops, relative to PASCAL3D+'s usual ones
    epochs: float = 100.0
    batch: int = 32  # images
    rate: float = 1e-3  # of AdamW at its highest, on a one-cycle course
    decay: float = 1e-4
    clutter: int = 8  # typical backgrounds that the model keeps
    precision: str = "auto"  # bfloat16 or float32; auto: bfloat16 on a GPU
    workers: int = 4  # processes that read images
    seed: int = 0
    contrast: Contrast = field(default_factory=Contrast)
    augmentation: Augmentation = field(default_factory=Augmentation)
    settings: RenderSettings = field(default_factory=RenderSettings)

    def __post_init__(self) -> None:
        rules = {
            "channels": (self.channels >= 2, "must be at least 2"),
            "count": (self.count >= 8, "must be at least 8"),
            "size": (self.size > 0, "must be positive"),
            "epochs": (self.epochs > 0, "must be positive"),
            "batch": (self.batch >= 2, "must be at least 2"),
            "rate": (self.rate > 0, "must be positive"),
            "clutter": (self.clutter >= 1, "must be at least 1"),
            "precision": (self.precision in ("auto", "bfloat16", "float32"), "must be auto, bfloat16 or float32"),
            "workers": (self.workers >= 0, "must be at least 0"),
        }
        for name, (holds, rule) in rules.items():
            if not holds:
                raise ValueError(f"{name} {rule}, got {getattr(self, name)}")


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """What is trained on, and the shapes that it is trained for."""

    items: list[Item]
    notes: list[Annotation]  # of each
    framings: dict[str, Framing]
    shapes: dict[str, Ellipsoids]
    left_out: list[str]  # images that cannot be used, a line each


def prepare(data: DataSet, settings: Training, categories: Sequence[str] | None = None) -> Material:
    """Read the training lists, annotations and meshes.

    Raises:
        DataError: a category has no list, no mesh or no usable image.
    """
    items, notes, framings, shapes, left_out = [], [], {}, {}, []
    for category in categories or data.categories:
        found: list[Annotation] = []
        for item in data.items(category, "train"):
            try:
                found.append(item.annotation())
                items.append(item)
            except DataError as error:
                left_out.append(str(error))
        if not found:
            raise DataError(
                data.list_file(category, "train"), f"no usable image of {category}", "see voge pose check-data"
            )
        meshes = data.meshes(category)
        used = sorted({note.cad_index for note in found if 1 <= note.cad_index <= len(meshes)})
        meshes = [meshes[i - 1] for i in used] or meshes
        notes += found
        framings[category] = find_framing(found, settings.size)
        shapes[category] = shape_ellipsoids(
            meshes, settings.shape, settings.count, method=settings.method, coverage=settings.coverage
        )
    return Material(items, notes, framings, shapes, left_out)


class Trainer:
    """A network, a bank a category, and the steps from one state to the next."""

    def __init__(self, material: Material, settings: Training, device: torch.device) -> None:
        self.material, self.settings, self.device = material, settings, device
        self.rank, self.ranks = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
        torch.manual_seed(settings.seed)
        self.network = trainable(
            settings.extractor, settings.channels, width=settings.width, pretrained=settings.pretrained
        ).to(device)
        self.shapes = {name: shape.to(device) for name, shape in material.shapes.items()}
        generator = torch.Generator().manual_seed(settings.seed)
        self.banks = {name: Bank(shape.means, settings.channels, settings.contrast, generator)
                      for name, shape in self.shapes.items()}  # fmt: skip
        self.done = 0
        self._names = [item.category for item in material.items]
        per_epoch = CategoryBatches(self._names, settings.batch, settings.seed, 1).per_epoch
        self.steps = max(round(settings.epochs * per_epoch), 1)
        parameters = [p for p in self.network.parameters() if p.requires_grad]
        self.optimiser = torch.optim.AdamW(parameters, lr=settings.rate, weight_decay=settings.decay)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser, settings.rate, total_steps=self.steps + 1, pct_start=0.15, cycle_momentum=False
        )
        self._parallel: nn.Module = self.network
        if self.ranks > 1 and device.type == "cuda":
            self.network = nn.SyncBatchNorm.convert_sync_batchnorm(self.network)
            self._parallel = nn.parallel.DistributedDataParallel(self.network, [device.index])
        elif self.ranks > 1:
            self._parallel = nn.parallel.DistributedDataParallel(self.network)

    def run(self) -> Iterator[Step]:
        """Take the steps that are left; yield after each.

        Raises:
            DivergedError: a loss is not finite.
            DataError: an image cannot be read.
        """
        self.network.train()
        for batch in self._loader():
            terms = self._step(batch)
            self.done += 1
            yield Step(self.done, terms)

    def check(self) -> None:
        """Nothing is pending: every step has looked whether its loss is finite."""

    def model(self) -> PoseModel:
        """The model as it is now; banks become the ellipsoids' features."""
        categories = {}
        for name, bank in self.banks.items():
            # What no picture has shown stays opaque but looks like nothing.
            features = bank.features * bank.seen[:, None]
            ellipsoids = replace(self.shapes[name], features=features, extra={})
            clutter = bank.typical_clutter(self.settings.clutter)
            categories[name] = Category(name, ellipsoids, clutter, self.material.framings[name])
        s = self.settings
        return PoseModel(self.network, categories, s.extractor, s.channels, s.width)

    def state(self) -> dict[str, Tensor]:
        """All that the next step depends on, by flat names."""
        state = {f"network/{name}": t for name, t in self.network.state_dict().items()}
        for number, memory in self.optimiser.state_dict()["state"].items():
            state |= {f"adam/{number}/{key}": tensor for key, tensor in memory.items()}
        for name, bank in self.banks.items():
            state |= {f"bank/{name}/{key}": tensor for key, tensor in bank.state().items()}
        state["done"] = torch.tensor(self.done)
        return {name: tensor.detach().cpu() for name, tensor in state.items()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a state of the same training.

        Raises:
            ValueError: the state is of another network or other categories.
        """
        under = lambda prefix: {k.removeprefix(prefix): t for k, t in state.items() if k.startswith(prefix)}  # noqa: E731
        try:
            self.network.load_state_dict(under("network/"))
            memory: dict[int, dict[str, Tensor]] = {}
            for key, tensor in under("adam/").items():
                number, name = key.split("/")
                memory.setdefault(int(number), {})[name] = tensor
            groups = self.optimiser.state_dict()["param_groups"]
            self.optimiser.load_state_dict({"state": memory, "param_groups": groups})
            for name, bank in self.banks.items():
                bank.load(under(f"bank/{name}/"))
        except (KeyError, RuntimeError) as error:
            raise ValueError(f"the state is of another training: {str(error).splitlines()[0]}") from error
        self.done = int(state["done"])
        for _ in range(self.done):  # the course of the rate depends on the count alone
            self.schedule.step()

    def _loader(self) -> torch.utils.data.DataLoader[Any]:
        s = self.settings
        views = Views(self.material.items, self.material.notes, self.material.framings, s.augmentation, s.seed)
        batches = CategoryBatches(
            self._names, s.batch, s.seed, self.steps, start=self.done, rank=self.rank, ranks=self.ranks
        )
        return torch.utils.data.DataLoader(
            views, batch_sampler=batches, num_workers=s.workers, collate_fn=collate,
            pin_memory=self.device.type == "cuda", persistent_workers=s.workers > 0,
            multiprocessing_context="forkserver" if s.workers and os.name == "posix" else None,
        )  # fmt: skip

    def _step(self, batch: Batch) -> dict[str, Tensor]:
        category = batch[0]
        shape, bank = self.shapes[category], self.banks[category]
        cells = on_cells(cameras_of(batch, self.device), STRIDE)
        images = batch[1].to(self.device, non_blocking=True).float() / 255
        low = self.settings.precision == "bfloat16" or (
            self.settings.precision == "auto" and self.device.type == "cuda"
        )
        with torch.autocast(self.device.type, torch.bfloat16, enabled=low):
            maps = self._parallel(images).float()
        with torch.no_grad():
            seen = widened(
                shape, float(cells.viewmats[:, 2, 3].mean() / cells.Ks[:, 0, 0].mean()), self.settings.filter
            )
            fragments = trace(seen, cells, self.settings.settings)
        shares = avg_pool2d(batch[4].to(self.device).float()[:, None], STRIDE)[:, 0]
        sums, weights = sample_views(fragments, maps.permute(0, 2, 3, 1), shares)
        features = normalize(sums, dim=-1)
        whole = weights.detach().quantile(0.95, dim=1, keepdim=True)
        view, index = (weights > VISIBLE * whole).nonzero(as_tuple=True)
        backgrounds = self._backgrounds(maps, fragments.alpha * shares)
        terms = bank.loss(features[view, index], index, backgrounds)
        total = torch.stack(list(terms.values())).sum()
        if not bool(total.isfinite()):
            raise DivergedError("the contrastive loss", self.done + 1)
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()
        self.optimiser.step()
        self.schedule.step()
        self._remember(bank, features.detach()[view, index], index, backgrounds.detach())
        return {name: term.detach() for name, term in terms.items()}

    def _backgrounds(self, maps: Tensor, alpha: Tensor) -> Tensor:
        """(V * clutter, C) features of cells where nothing of the object is; of the emptiest where all has some."""
        count = self.settings.contrast.clutter
        flat, covered = maps.flatten(2), alpha.flatten(1)
        # Chance decides among empty cells, cover among others.
        generator = torch.Generator(covered.device).manual_seed(self.settings.seed + self.done)
        noise = torch.rand(covered.shape, device=covered.device, generator=generator)
        order = torch.where(covered < BACKGROUND, noise - 1, covered).argsort(1)[:, :count]
        chosen = flat.gather(2, order[:, None].expand(-1, flat.shape[1], -1))
        return chosen.permute(0, 2, 1).reshape(-1, flat.shape[1])

    def _remember(self, bank: Bank, features: Tensor, index: Tensor, backgrounds: Tensor) -> None:
        sums = torch.zeros_like(bank.features).index_add(0, index, features.to(bank.features))
        counts = torch.bincount(index, minlength=len(sums)).float()
        if self.ranks > 1:
            dist.all_reduce(sums)
            dist.all_reduce(counts)
            gathered = [torch.empty_like(backgrounds) for _ in range(self.ranks)]
            dist.all_gather(gathered, backgrounds.contiguous())
            backgrounds = torch.cat(gathered)
        bank.update(sums, counts, backgrounds)
