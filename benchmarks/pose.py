"""Category-level poses on the synthetic benchmark: the tables of docs/pose.md.

    python benchmarks/pose.py --out runs/pose --workers 16                       # makes data, trains, estimates
    python benchmarks/pose.py --out runs/pose --seeds 0,1,2 --aggregations exact,sorted,paper

Needs torch, numpy, scipy, safetensors, pillow, trimesh and, to make the data, embreex. Data and models that are there
already are kept. A model is known by its aggregation and seed alone: other settings want another folder --out, and may
share the data of the first by --data.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path

import torch

from voge.convert.settings import MeshMethod
from voge.errors import ExtractorError
from voge.pose import matching
from voge.pose.data.crops import Framing
from voge.pose.data.datasets import DataSet, open_data
from voge.pose.data.frames import annotated_frame, stack
from voge.pose.estimation.estimator import Estimator
from voge.pose.estimation.evaluation import Prediction, predict, summarize
from voge.pose.estimation.metrics import table
from voge.pose.network.features import STRIDE, fixed
from voge.pose.network.model import Category, PoseModel, load_model
from voge.pose.network.training import Trainer, prepare
from voge.pose.settings import LEVELS, Augmentation, Block, Estimation, Method, Refinement, Shape, Training
from voge.pose.synthetic.benchmark import synthesize
from voge.pose.synthetic.settings import Synthesis
from voge.rendering.pixel_filter import on_cells, widened
from voge.rendering.settings import Aggregation, RenderSettings
from voge.scene.cameras import Cameras

RENDERING = {
    "exact": RenderSettings(),
    "sorted": RenderSettings(aggregation=Aggregation.sorted),
    "paper": RenderSettings(aggregation=Aggregation.paper),
}
FIGURES = ("acc_pi_6", "acc_pi_18", "median_deg")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=None, help="folder of the synthetic set; default: OUT/data")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--categories", default="aeroplane,car,chair")
    parser.add_argument("--train", type=int, default=1000)
    parser.add_argument("--test", type=int, default=300)
    parser.add_argument("--zoom", type=float, default=1.0, help="pictures so many times as large")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--aggregations", default="exact", help="of training and estimation alike")
    parser.add_argument("--refinements", default="lm", help="of none, lm, adam")
    parser.add_argument("--epochs", type=float, default=60)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--size", type=float, default=0.4, help="of the crops")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--shape", default="mesh", choices=[s.value for s in Shape])
    parser.add_argument("--extractor", default="compact")
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--channels", type=int, default=128)
    parser.add_argument("--hide", type=float, default=0.5, help="patches over up to this share of training crops")
    parser.add_argument("--mirror", action=argparse.BooleanOptionalAction, default=True, help="mirrored pictures too")
    parser.add_argument("--levels", default=",".join(LEVELS))
    parser.add_argument("--limit", type=int, default=None, help="test images a category and level")
    parser.add_argument("--table4", action="store_true", help="also train and estimate the ablations of table 4")
    parser.add_argument("--match", action="store_true", help="also match views, by the trained and by fixed features")
    parser.add_argument("--speed", action="store_true", help="also time one picture of 256 x 672")
    arguments = parser.parse_args()
    say(f"{platform.processor() or platform.machine()}, torch {torch.__version__}, {device_name(arguments.device)}")
    data = make_data(arguments)
    results: dict[str, dict] = {}

    def keep(name: str, found: dict) -> None:
        results[name] = found
        (arguments.out / "results.json").write_text(json.dumps(results, indent=1))

    for seed in map(int, arguments.seeds.split(",")):
        for aggregation in arguments.aggregations.split(","):
            settings = training(arguments, seed, RENDERING[aggregation])
            model = trained(data, settings, arguments, f"{aggregation}_{seed}")
            for refinement in arguments.refinements.split(","):
                how = Estimation(settings=RENDERING[aggregation], refinement=Refinement(method=Method(refinement)))
                name = f"{aggregation}_{seed}_{refinement}"
                keep(name, evaluated(data, model, how, arguments, name))
    if arguments.table4:
        for name, settings, how in table4(arguments):
            keep(name, evaluated(data, trained(data, settings, arguments, name), how, arguments, name))
    if arguments.match:
        keep("match", {c: matched(data, model, c, arguments) for c in model.categories})
    if arguments.speed:
        keep("speed", speed(model, torch.device(arguments.device)))
    spread(results, arguments)


def make_data(arguments: argparse.Namespace) -> DataSet:
    """The synthetic set, where it is not there yet."""
    zoom = arguments.zoom
    settings = Synthesis(
        categories=arguments.categories.split(","), train=arguments.train, test=arguments.test,
        width=round(320 * zoom), height=round(256 * zoom), focal=1100 * zoom,
    )  # fmt: skip
    root = arguments.data or arguments.out / "data"
    started = time.perf_counter()
    made = synthesize(root, settings, processes=arguments.workers).made
    say(f"data: {made} images made in {time.perf_counter() - started:.1f} s")
    return open_data(root)


def training(arguments: argparse.Namespace, seed: int, settings: RenderSettings) -> Training:
    return Training(
        categories=arguments.categories.split(","),
        extractor=arguments.extractor, pretrained=arguments.extractor == "efficientnet", width=arguments.width,
        channels=arguments.channels, shape=Shape(arguments.shape), count=arguments.count, size=arguments.size,
        epochs=arguments.epochs, batch=arguments.batch, rate=arguments.rate, workers=arguments.workers, seed=seed,
        settings=settings, augmentation=Augmentation(hide=arguments.hide, mirror=arguments.mirror),
    )  # fmt: skip


def trained(data: DataSet, settings: Training, arguments: argparse.Namespace, name: str) -> PoseModel:
    """The model of these settings, trained where it is not there yet."""
    path = arguments.out / "models" / f"{name}.safetensors"
    device = torch.device(arguments.device)
    if not path.exists():
        started = time.perf_counter()
        trainer = Trainer(prepare(data, settings), settings, device)
        prepared = time.perf_counter() - started
        for step in trainer.run():
            if step.number % 100 == 0 or step.number == trainer.steps:
                rate = step.number / (time.perf_counter() - started - prepared)
                say(f"{name}: step {step.number} of {trainer.steps}, {rate:.1f} a second, {step.values()}")
        trainer.model().save(path)
        say(f"{name}: trained in {time.perf_counter() - started:.1f} s, {prepared:.1f} s of them reading labels")
    return load_model(path).to(device)


def evaluated(data: DataSet, model: PoseModel, how: Estimation, arguments: argparse.Namespace, name: str) -> dict:
    """Figures of all levels, and the seconds that it took."""
    made: list[Prediction] = []
    started, images = time.perf_counter(), 0
    for category in model.categories.values():
        estimator = Estimator(model.network, category, how)
        for level in arguments.levels.split(","):
            items = data.items(category.name, "val", level)[: arguments.limit]
            made += predict(estimator, items, 64, arguments.workers)
            images += len(items)
    seconds = time.perf_counter() - started
    say(f"\n{name}: {images} images in {seconds:.1f} s, {1000 * seconds / images:.1f} ms an image, reading included")
    for level, rows in summarize(made).items():
        say(f"{level}\n{table(rows)}")
    figures = {level: {c: row.document() for c, row in rows.items()} for level, rows in summarize(made).items()}
    return {"levels": figures, "images": images, "seconds": seconds}


def table4(arguments: argparse.Namespace):
    """Names, trainings and estimations of the paper's ablations: its aggregation, Adam from one start."""
    seed = int(arguments.seeds.split(",")[0])
    adam = Refinement(method=Method.adam)
    for zeta in (0.2, 0.4, 0.5, 0.6, 0.8):
        settings = replace(
            training(arguments, seed, RENDERING["paper"]), method=MeshMethod.vertex, coverage=zeta, filter=0
        )
        how = Estimation(candidates=1, settings=RENDERING["paper"], refinement=adam, filter=0)
        yield f"coverage_{zeta}", settings, how
        if zeta == 0.5:
            for block in (Block.transmittance, Block.density):
                yield f"block_{block.value}", settings, replace(how, refinement=replace(adam, block=block))


@torch.no_grad()
def matched(data: DataSet, model: PoseModel, name: str, arguments: argparse.Namespace) -> dict:
    """Figures of view matching among the test pictures, 50 of them anchors, by features and delta."""
    device, category = torch.device(arguments.device), model.categories[name]
    networks = {f"trained {model.extractor}": model.network}
    try:
        networks["efficientnet, fixed"] = fixed("efficientnet").to(device)
    except ExtractorError as error:
        say(str(error))
    items = data.items(name, "val")[: arguments.limit]
    with ThreadPoolExecutor(arguments.workers) as pool:
        frames = list(pool.map(lambda item: annotated_frame(item, category.framing)[0], items))
    images, cameras = stack(frames)
    cells = on_cells(cameras.to(device), STRIDE)
    shape = widened(category.ellipsoids, float(cells.viewmats[:, 2, 3].mean() / cells.Ks[:, 0, 0].mean()))
    found = {}
    for features, network in networks.items():
        maps = torch.cat([network(part.to(device)).float() for part in images.split(64)])
        maps = maps.permute(0, 2, 3, 1).contiguous()
        anchors = matching.sample_anchors(shape, maps[:50], cells[slice(50)])
        rows = []
        for delta in (0.0, 15.0, 30.0, 45.0, 60.0):
            scores = matching.match_scores(shape, anchors, delta, maps).fill_diagonal_(-torch.inf)
            wanted = anchors.turned(delta).viewmats[:, :3, :3].double()
            rows.append(matching.match_figures(scores, delta, wanted, cells.viewmats[:, :3, :3].double()))
        say(f"\nmatching {name} among {len(items)} pictures, {features}\n{matching.match_table(rows)}")
        found[features] = [asdict(row) for row in rows]
    return found


WAYS = {
    "coarse": Estimation(candidates=1, refinement=Refinement(method=Method.none)),
    "coarse + lm": Estimation(),
    "coarse + adam 300": Estimation(refinement=Refinement(method=Method.adam)),
}


def speed(model: PoseModel, device: torch.device, ways: Sequence[str] = tuple(WAYS)) -> dict[str, float]:
    """Seconds for one picture of 256 x 672 with 144 starts, after a first one: coarse, refined, and all at once."""
    category = model.categories.get("car") or next(iter(model.categories.values()))
    framing = Framing(672, 256)
    wide = Category(category.name, category.ellipsoids, category.clutter, framing)
    image = torch.rand(1, 3, 256, 672)
    viewmat = torch.eye(4)[None].clone()
    viewmat[0, 2, 3] = framing.distance
    cameras = Cameras(viewmat, framing.intrinsics.float()[None], 672, 256)
    found = {}
    for name in ways:
        estimator = Estimator(model.network, wide, WAYS[name])
        estimator(image, cameras)
        times = []
        for _ in range(5 if device.type == "cuda" else 2):
            started = time.perf_counter()
            estimator(image, cameras)
            times.append(time.perf_counter() - started)
        found[name] = statistics.median(times)
        say(f"{name}: {found[name]:.4f} s")
    estimator = Estimator(model.network, wide, Estimation())
    started = time.perf_counter()
    estimator(image, cameras)
    found["first picture, templates included"] = time.perf_counter() - started
    say(f"first picture of a category, its 144 templates traced: {found['first picture, templates included']:.4f} s")
    return found


def spread(results: dict[str, dict], arguments: argparse.Namespace) -> None:
    """Mean and deviation over seeds: of each aggregation, and of what the first has over another one, seed by seed."""
    seeds, aggregations = arguments.seeds.split(","), arguments.aggregations.split(",")
    for refinement, level in product(arguments.refinements.split(","), arguments.levels.split(",")):
        found = {
            aggregation: [[results[f"{aggregation}_{seed}_{refinement}"]["levels"][level]["mean"][figure]
                           for seed in seeds] for figure in FIGURES]
            for aggregation in aggregations
        }  # fmt: skip
        first = aggregations[0]
        for other in aggregations[1:]:
            pairs = zip(found[first], found[other], strict=True)
            found[f"{first} - {other}"] = [[a - b for a, b in zip(*pair, strict=True)] for pair in pairs]
        for name, rows in found.items():
            cells = []
            for figure, values in zip(FIGURES, rows, strict=True):
                deviation = statistics.stdev(values) if len(values) > 1 else 0.0
                cells.append(f"{figure} {statistics.mean(values):6.2f} +- {deviation:.2f}")
            say(f"{name:16} {refinement:5} {level}  " + "  ".join(cells))


def device_name(device: str) -> str:
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else f"{torch.get_num_threads()} threads"


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
