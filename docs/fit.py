"""Fitting from Python, to read from top to bottom: python docs/fit.py [FOLDER]

Twelve views of the packaged teapot, rendered by ourselves, are the pictures; a sphere becomes the teapot. Then the
same loop is driven by hand, and a loss of one's own is minimized with the parts that `voge.fit` is made of.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

import voge
from voge.assets.teapot import teapot
from voge.convert import from_mesh
from voge.fitting.fitter import Fitting
from voge.fitting.parameters import ellipsoid_variables, to_ellipsoids
from voge.fitting.scores import score, summary
from voge.fitting.settings import Coarse, Sweep
from voge.fitting.starts import sphere
from voge.fitting.targets import random_cameras, sweep_cameras
from voge.io.ellipsoids import save_ellipsoids
from voge.optim import losses, regularizers
from voge.optim.optimizer import Optimizer, Variable
from voge.optim.settings import Rate

folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp())

# ---- Pictures: a Capture is cameras, images and, if there are any, masks ------------------------

vertices, faces, colors = teapot(8)
vertices = (vertices - (vertices.max(0) + vertices.min(0)) / 2) / np.abs(vertices).max()
truth = from_mesh(torch.from_numpy(vertices), torch.from_numpy(faces), colors=torch.from_numpy(colors))
sweep = Sweep(views=12, size=48)


def take(cameras: voge.Cameras) -> voge.Capture:
    """Pictures of the true ellipsoids."""
    with torch.no_grad():
        made = voge.render(truth, cameras)
    return voge.Capture(cameras, made.image, made.alpha)


capture, held_out = take(sweep_cameras(sweep)), take(random_cameras(sweep, 6, seed=1))

# ---- In one call ---------------------------------------------------------------------------------

settings = voge.FitSettings(steps=300, coarse=Coarse(factor=1))
fitted = voge.fit(capture, sphere(642), settings)
print("voge.fit:", summary(score(fitted.ellipsoids, [held_out], fitted.background, settings.settings)))
save_ellipsoids(folder / "teapot.safetensors", fitted.ellipsoids)

# ---- Step by step: log, show, stop early, save ----------------------------------------------------

fitting = Fitting([capture], sphere(642), settings)
for step in fitting.steps():
    if step.number % 100 == 0:
        print(step.number, {name: round(value, 5) for name, value in step.values().items()})
    if step.number == 200:
        saved = fitting.state()  # a dict of tensors; Fitting(...).load(saved) goes on from here, bit by bit
        break

# ---- A loss of one's own ----------------------------------------------------------------------------

base = sphere(162, radius=0.8).ellipsoids
rates = {"means": 5e-3, "log_scales": 5e-3, "quats": 5e-3, "raw_density": 1e-2, "raw_colors": 5e-2}
variables = {name: Variable(value, Rate(value=rates[name])) for name, value in ellipsoid_variables(base).items()}
optimizer = Optimizer(variables, steps=100)


def loss(step: int) -> dict[str, torch.Tensor]:
    """The IoU of three silhouettes, and flat ellipsoids."""
    ellipsoids = to_ellipsoids(optimizer.values, base)
    views = torch.randperm(len(capture), generator=optimizer.generator)[:3]
    rendered = voge.render(ellipsoids, capture.cameras[views])
    return {
        "silhouette": losses.soft_iou(rendered.alpha, capture.masks[views]),
        "flatness": 0.01 * regularizers.flatness(ellipsoids),
    }


for step in optimizer.run(loss):
    if step.number % 50 == 0:
        print(step.number, {name: round(value, 4) for name, value in step.values().items()})
