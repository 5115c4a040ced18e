"""Training of neural ellipsoids: a network whose features tell places on a category's surface apart (section 4.2).

    model = train("PASCAL3D+", Training(extractor="compact"), device="cuda")
    model.save(path)

With a process group of torch.distributed, every process takes its share of each batch; gradients and the bank are the
same everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, normalize

from voge.errors import DataError, DivergedError
from voge.optim.optimizer import CHECKED_ON_GPU, Step
from voge.pose.data.crops import Framing, find_framing
from voge.pose.data.datasets import DataSet, Item, open_data
from voge.pose.data.reading import Batch, CategoryBatches, Reader
from voge.pose.data.records import Annotation
from voge.pose.data.views import sent
from voge.pose.network.bank import Bank
from voge.pose.network.features import STRIDE, memory_format, mixed, trainable
from voge.pose.network.model import Category, PoseModel, category_ellipsoids
from voge.pose.settings import Training
from voge.rendering.pixel_filter import on_cells, sample_views, widened
from voge.rendering.renderer import trace
from voge.scene.ellipsoids import Ellipsoids

VISIBLE = 0.2  # of the weight of an ellipsoid in full view: less, and its sample is mostly something else's
BACKGROUND = 0.01  # alpha below which a cell shows background alone


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """The images that a training learns from, and the shapes of their categories."""

    items: list[Item]
    annotations: list[Annotation]  # of each
    framings: dict[str, Framing]
    shapes: dict[str, Ellipsoids]
    left_out: list[str]  # images that cannot be used, a line each

    @property
    def notes(self) -> tuple[str, ...]:
        """Lines for the user: images of each category, and images left out."""
        lines = []
        for name, framing in self.framings.items():
            images = sum(item.category == name for item in self.items)
            size = f"{framing.width}x{framing.height}"
            lines.append(f"{name}: {images} images, crops of {size}, {len(self.shapes[name])} ellipsoids")
        if self.left_out:
            lines.append(f"left out {len(self.left_out)} images that cannot be used, such as {self.left_out[0]}")
        return tuple(lines)


def train(
    data: str | Path,
    settings: Training | None = None,
    *,
    device: str | torch.device = "cpu",
    watch: Callable[[Step], object] | None = None,
) -> PoseModel:
    """Train neural ellipsoids of a data set's categories, as `voge pose train` does.

    Args:
        data: folder of PASCAL3D+ or ObjectNet3D.
        settings: how.
        device: where.
        watch: gets each step, with its losses.

    Raises:
        DataError: the data set cannot be used.
        ExtractorError: the extractor needs a package that is missing.
        DivergedError: a loss is not finite.
    """
    settings = settings or Training()
    trainer = Trainer(prepare(open_data(Path(data)), settings), settings, torch.device(device))
    for step in trainer.run():
        if watch is not None:
            watch(step)
    return trainer.model()


def prepare(data: DataSet, settings: Training) -> Material:
    """Read the training lists, annotations and meshes.

    Raises:
        DataError: a category has no list, no mesh, no usable image, or a mesh that cannot have as few vertices.
    """
    items, annotations, framings, shapes, left_out = [], [], {}, {}, []
    for category in settings.categories or data.categories:
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
        annotations += found
        framings[category] = find_framing(found, settings.size)
        shapes[category] = category_ellipsoids(
            data, category, settings.shape, settings.count, used={note.cad_index for note in found},
            method=settings.method, coverage=settings.coverage,
        )  # fmt: skip
    return Material(items, annotations, framings, shapes, left_out)


class Trainer:
    """A network, a bank a category, and the steps from one state to the next."""

    def __init__(self, material: Material, settings: Training, device: torch.device) -> None:
        self.material, self.settings, self.device = material, settings, device
        self.rank, self.ranks = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
        torch.manual_seed(settings.seed)
        network = trainable(settings.extractor, settings.channels, width=settings.width, pretrained=settings.pretrained)
        self.network = network.to(device, memory_format=memory_format(device))  # type: ignore[call-overload]
        self.shapes = {name: shape.to(device) for name, shape in material.shapes.items()}
        generator = torch.Generator().manual_seed(settings.seed)
        self.banks = {name: Bank(shape.means, settings.channels, settings.contrast, generator)
                      for name, shape in self.shapes.items()}  # fmt: skip
        self.done = 0
        self._unchecked: list[tuple[int, Tensor]] = []  # steps and their losses
        self._names = [item.category for item in material.items]
        per_epoch = CategoryBatches(self._names, settings.batch, settings.seed, 1).per_epoch
        self.steps = max(round(settings.epochs * per_epoch), 1)
        parameters = [p for p in self.network.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(parameters, lr=settings.rate, weight_decay=settings.decay, fused=True)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, settings.rate, total_steps=self.steps + 1, pct_start=0.15, cycle_momentum=False
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
            DivergedError: a loss is not finite. On the CPU nothing has changed by it; on a GPU this is noticed up to
                CHECKED_ON_GPU steps later, so save after `check`.
            DataError: an image cannot be read.
        """
        self.network.train()
        s = self.settings
        numbers = CategoryBatches(
            self._names, s.batch, s.seed, self.steps, start=self.done, rank=self.rank, ranks=self.ranks
        )
        reader = Reader(
            self.material.items, self.material.annotations, self.material.framings, s.augmentation, s.seed, self.device,
            threads=s.workers, memory=s.memory * 2**30,
        )  # fmt: skip
        for batch in reader.batches(numbers):
            terms = self._step(batch)
            self.done += 1
            yield Step(self.done, terms)
        self.check()

    def check(self) -> None:
        """Wait for the device; raise DivergedError if the loss of any step so far was not finite."""
        unchecked, self._unchecked = self._unchecked, []
        if unchecked:
            finite = torch.stack([loss for _, loss in unchecked]).isfinite().tolist()
            for (step, _), fine in zip(unchecked, finite, strict=True):
                if not fine:
                    raise DivergedError("the contrastive loss", step)

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
        for number, memory in self.optimizer.state_dict()["state"].items():
            state |= {f"adam/{number}/{key}": tensor for key, tensor in memory.items()}
        for name, bank in self.banks.items():
            state |= {f"bank/{name}/{key}": tensor for key, tensor in bank.state().items()}
        state["done"] = torch.tensor(self.done)
        return {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a state of the same training.

        Raises:
            ValueError: the state is of another network or other categories.
        """

        def under(prefix: str) -> dict[str, Tensor]:
            return {name.removeprefix(prefix): t for name, t in state.items() if name.startswith(prefix)}

        try:
            self.network.load_state_dict(under("network/"))
            memory: dict[int, dict[str, Tensor]] = {}
            parameters = self.optimizer.param_groups[0]["params"]
            for key, tensor in under("adam/").items():
                number, name = key.split("/")
                like = parameters[int(number)]
                # Moments lie in memory as their parameter does: all are walked through together.
                memory.setdefault(int(number), {})[name] = (
                    torch.empty_like(like).copy_(tensor) if tensor.shape == like.shape else tensor
                )
            groups = self.optimizer.state_dict()["param_groups"]
            self.optimizer.load_state_dict({"state": memory, "param_groups": groups})
            for name, bank in self.banks.items():
                bank.load(under(f"bank/{name}/"))
        except (KeyError, RuntimeError) as error:
            raise ValueError(f"the state is of another training: {str(error).splitlines()[0]}") from error
        self.done = int(state["done"])
        for _ in range(self.done):  # the course of the rate depends on the count alone
            self.schedule.step()

    def _step(self, batch: Batch) -> dict[str, Tensor]:
        shape, bank = self.shapes[batch.category], self.banks[batch.category]
        coarse = on_cells(batch.cameras, STRIDE)
        cell = float(coarse.viewmats[:, 2, 3].mean() / coarse.Ks[:, 0, 0].mean())
        cells = replace(coarse, viewmats=sent(coarse.viewmats, self.device), Ks=sent(coarse.Ks, self.device))
        images = batch.views.images.contiguous(memory_format=memory_format(self.device))
        with mixed(self.device, self.settings.precision):
            maps = self._parallel(images).float().permute(0, 2, 3, 1)
        # What has to wait for the device comes now, when it has the network to work on.
        with torch.no_grad():
            fragments = trace(widened(shape, cell, self.settings.filter), cells, self.settings.settings)
        shares = avg_pool2d(batch.views.visible[:, None].float(), STRIDE)[:, 0]
        sums, weights = sample_views(fragments, maps, shares)
        whole = weights.detach().quantile(0.95, dim=1, keepdim=True)
        seen = (weights > VISIBLE * whole).flatten().nonzero()[:, 0]
        features, index = normalize(sums.flatten(0, 1).index_select(0, seen), dim=1), seen % len(shape)
        backgrounds = self._backgrounds(maps, fragments.alpha * shares)
        terms = bank.loss(features, index, backgrounds)
        total = torch.stack(list(terms.values())).sum()
        self._unchecked.append((self.done + 1, total.detach()))
        if self.device.type == "cpu" or len(self._unchecked) >= CHECKED_ON_GPU:
            self.check()
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        self.optimizer.step()
        self.schedule.step()
        self._remember(bank, features.detach(), index, backgrounds.detach())
        return {name: term.detach() for name, term in terms.items()}

    def _backgrounds(self, maps: Tensor, alpha: Tensor) -> Tensor:
        """(V * clutter, C) features of cells where nothing of the object is; of the emptiest where all has some."""
        count = self.settings.contrast.clutter
        flat, covered = maps.flatten(1, 2), alpha.flatten(1)
        # Chance decides among empty cells, cover among others.
        generator = torch.Generator(covered.device).manual_seed(self.settings.seed + self.done)
        noise = torch.rand(covered.shape, device=covered.device, generator=generator)
        order = torch.where(covered < BACKGROUND, noise - 1, covered).argsort(1)[:, :count]
        return flat.gather(1, order[..., None].expand(-1, -1, flat.shape[-1])).flatten(0, 1)

    def _remember(self, bank: Bank, features: Tensor, index: Tensor, backgrounds: Tensor) -> None:
        sums = torch.zeros_like(bank.features).index_add(0, index, features.to(bank.features))
        counts = torch.zeros_like(sums[:, 0]).index_add(0, index, torch.ones_like(index, dtype=sums.dtype))
        if self.ranks > 1:
            dist.all_reduce(sums)
            dist.all_reduce(counts)
            gathered = [torch.empty_like(backgrounds) for _ in range(self.ranks)]
            dist.all_gather(gathered, backgrounds.contiguous())
            backgrounds = torch.cat(gathered)
        bank.update(sums, counts, backgrounds)
