"""Poses of several objects from a picture in which some hide others (paper, section 4.6, fig. 12).

    bodies = [Body("blue", blue, start_pose), Body("red", red, other_pose)]
    solution = voge.occlusion.solve(bodies, [Target(camera, image)])
    solution.poses, solution.visible, solution.order

The default method looks for each object all over the view, then refines all together by damped least squares. The
paper's method, gradient descent, is `OcclusionSettings(method="gradient")`. `voge.occlusion.solve_scene` starts from
a scene file (docs/occlusion.md).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
