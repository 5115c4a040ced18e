"""Where several objects stand, from a picture in which some hide others (paper, section 4.6, fig. 12).

    bodies = [Body("blue", blue, start_pose), Body("red", red, other_pose)]
    solution = voge.occlusion.solve(bodies, [Target(camera, image)])
    solution.poses, solution.visible, solution.order

The default method looks for each object all over the view and refines all together by damped least squares; the
paper's, gradient descent, is `Settings(method="gradient")`. Files: `voge_cli.occlusion` and docs/occlusion.md.
"""

from __future__ import annotations

from collections.abc import Sequence

from voge.occlusion.analysis import Visibility as Visibility
from voge.occlusion.analysis import depth_order as depth_order
from voge.occlusion.analysis import visibility as visibility
from voge.occlusion.gradient import GradientDescent as GradientDescent
from voge.occlusion.levels import Weights as Weights
from voge.occlusion.problem import Bodies as Bodies
from voge.occlusion.problem import Body as Body
from voge.occlusion.problem import Freedom as Freedom
from voge.occlusion.problem import Target as Target
from voge.occlusion.settings import Gradient as Gradient
from voge.occlusion.settings import Method as Method
from voge.occlusion.settings import Refine as Refine
from voge.occlusion.settings import Search as Search
from voge.occlusion.settings import Settings as Settings
from voge.occlusion.solution import Solution as Solution
from voge.occlusion.solution import conclude as conclude
from voge.occlusion.solver import Ladder, solve_steps


def solve(scene: Sequence[Body], targets: Sequence[Target], settings: Settings | None = None) -> Solution:
    """The poses with which the scene looks like its targets.

    Args:
        scene: the objects, with start poses and what may change of them; on one device, in one dtype.
        targets: pictures and their cameras, on that device and in that dtype.
        settings: see Settings.

    Raises:
        voge.errors.DivergedError, FloatingPointError: a picture is not finite.
    """
    settings = settings or Settings()
    bodies = Bodies(list(scene))
    path: list[tuple] = []
    if settings.method is Method.gradient:
        descent = GradientDescent(bodies, targets, settings)
        for step in descent.run():
            path.append((descent.poses, step.values()["loss"]))
        return conclude(bodies, targets, settings, descent.poses, path)
    for state in solve_steps(bodies, Ladder.of(targets, settings), settings):
        path.extend(state.trace)
    return conclude(bodies, targets, settings, state.poses, path)
