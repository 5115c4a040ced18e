"""A short run of every CUDA operator, for compute-sanitizer: `make test-gpu`.

The large picture has tiles walked by a thread a ray; rays of the small ones, and those that overflow, have a warp each.
"""

import torch
from scenes import cameras, random_ellipsoids

import voge

with torch.device("cuda"):
    for aggregation in voge.Aggregation:
        e, c = random_ellipsoids(80, dtype=torch.float32), cameras(18, 10, 2, torch.float32, azimuth=20)
        settings = voge.RenderSettings(aggregation=aggregation, backend=voge.Backend.cuda)
        e = e.map(lambda t: t.requires_grad_())
        fragments, picture = voge.trace(e, c, settings), voge.render(e, c, settings)
        sums, ones = fragments.sample(picture.image)
        (fragments.interpolate(e.features).sum() + sums.sum() + ones.sum() + picture.depth.sum()).backward()
        large = voge.render(e, cameras(224, 180, 1, torch.float32), settings)
        (large.image.sum() + large.depth.sum()).backward()
        torch.cuda.synchronize()
print("done")
