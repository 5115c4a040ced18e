#!/bin/bash
# pycolmap 4.2.1 takes and gives quaternions as (x, y, z, w); the models that it writes have (w, x, y, z). Four
# numbers of images.txt that go into Rotation3d as they are make another turn, and no error.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pycolmap==4.2.1 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'END'
import numpy as np
import pycolmap

turn = pycolmap.Rotation3d(np.array([0.0, 0.0, 1.0]))  # by 1 radian around z
model = pycolmap.Reconstruction()
camera = pycolmap.Camera(model="PINHOLE", width=64, height=48, params=[60, 60, 32, 24], camera_id=1)
model.add_camera_with_trivial_rig(camera)
image = pycolmap.Image(name="a.jpg", keypoints=np.zeros((0, 2)), camera_id=1, image_id=1)
model.add_image_with_trivial_frame(image, pycolmap.Rigid3d(turn, np.zeros(3)))
model.write_text(".")
lines = [line for line in open("images.txt") if not line.startswith("#")]
written = np.array(lines[0].split()[1:5], float)
print("in Python", turn.quat.round(4).tolist(), "in the file", written.round(4).tolist())
assert np.allclose(turn.quat, [0, 0, np.sin(0.5), np.cos(0.5)])
assert np.allclose(written, [np.cos(0.5), 0, 0, np.sin(0.5)])
assert not np.allclose(pycolmap.Rotation3d(written).matrix(), turn.matrix(), atol=0.1)
END
