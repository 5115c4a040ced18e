"""3D Gaussian Splatting files: other programs' read right, ours read right by others, and what a round trip costs."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from voge.io.ellipsoids import holds_ellipsoids, load_ellipsoids, save_ellipsoids
from voge.io.meshes import load_geometry
from voge.io.splats import MOST_DENSITY, narrowing
from voge.scene import harmonics

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
import splats as benchmark

NAMES = ["x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2"]
TAIL = ["opacity", "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"]


def plyfile_set(path, degree=3, count=7, text=False, byte_order="<", **changes):
    """A file as the original 3DGS code writes it, by the same library; returns its columns."""
    plyfile = pytest.importorskip("plyfile")
    names = [*NAMES, *(f"f_rest_{i}" for i in range(3 * ((degree + 1) ** 2 - 1))), *TAIL]
    random = np.random.default_rng(0)
    columns = {name: random.normal(size=count).astype("f4") for name in names}
    columns |= {name: np.zeros(count, "f4") for name in ("nx", "ny", "nz")} | changes
    rows = np.empty(count, [(name, "f4") for name in names])
    for name in names:
        rows[name] = columns[name]
    plyfile.PlyData([plyfile.PlyElement.describe(rows, "vertex")], text=text, byte_order=byte_order).write(path)
    return columns


def group(columns, *names):
    return torch.from_numpy(np.stack([columns[name] for name in names], 1).astype(np.float64))


@pytest.mark.parametrize(("text", "byte_order"), [(False, "<"), (False, ">"), (True, "=")])
@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_a_file_by_plyfile_is_read_right(tmp_path, degree, text, byte_order):
    columns = plyfile_set(tmp_path / "a.ply", degree, text=text, byte_order=byte_order)
    made = load_ellipsoids(tmp_path / "a.ply").to(torch.float64)
    opacity = torch.sigmoid(group(columns, "opacity"))[:, 0]
    close = {"rtol": 2e-6, "atol": 1e-6}
    torch.testing.assert_close(made.means, group(columns, "x", "y", "z"), **close)
    torch.testing.assert_close(made.quats, group(columns, "rot_0", "rot_1", "rot_2", "rot_3"), **close)
    torch.testing.assert_close(-torch.expm1(-made.density), opacity, **close)
    width = made.scales / torch.from_numpy(narrowing(made.density.numpy()))[:, None]
    torch.testing.assert_close(width, group(columns, "scale_0", "scale_1", "scale_2").exp(), **close)
    dc = 0.5 + 0.28209479177387814 * group(columns, "f_dc_0", "f_dc_1", "f_dc_2")
    torch.testing.assert_close(made.features, dc if degree else dc.clamp_min(0), **close)
    assert set(made.extra) == ({"sh"} if degree else set())
    if degree:  # red's coefficients come first in the file
        count = (degree + 1) ** 2 - 1
        assert made.extra["sh"].shape == (7, count, 3)
        torch.testing.assert_close(made.extra["sh"][:, 1, 2], group(columns, f"f_rest_{2 * count + 1}")[:, 0], **close)
    assert made.metadata["method"] == "3dgs"


def test_ours_is_opened_by_plyfile_with_the_columns_of_3dgs(tmp_path):
    plyfile = pytest.importorskip("plyfile")
    made = benchmark.random_set(20)
    save_ellipsoids(tmp_path / "a.ply", made)
    vertex = plyfile.PlyData.read(tmp_path / "a.ply")["vertex"]
    assert [p.name for p in vertex.properties] == [*NAMES, *(f"f_rest_{i}" for i in range(45)), *TAIL]
    assert vertex["f_rest_16"] == pytest.approx(made.extra["sh"][:, 1, 1].numpy())
    assert 1 / (1 + np.exp(-vertex["opacity"])) == pytest.approx(1 - np.exp(-made.density.numpy()), abs=1e-6)
    with (tmp_path / "a.ply").open("rb") as stream:  # the place where the first viewers look for the number of rows
        assert [stream.readline() for _ in range(3)][2] == b"element vertex 20\n"


def test_a_gaussian_stops_the_same_light_in_all_as_in_3dgs():
    """Over a plane: o exp(-u), and ours with u stretched, both integrated over u = r^2 / 2 by the trapezium rule."""
    u = np.linspace(0, 60, 600_001)
    for density in (1e-4, 0.1, 1.0, 5.0, 16.0):
        ours = -np.expm1(-density * np.exp(-u))
        ratio = -np.expm1(-density) / np.trapezoid(ours, u)
        assert narrowing(np.array([density]))[0] ** 2 == pytest.approx(ratio, rel=1e-6)


def test_a_round_trip_changes_no_picture(tmp_path):
    made = replace(benchmark.random_set(300), metadata={"units": "mm", "source": "häuschen.ply"})
    save_ellipsoids(tmp_path / "a.ply", made)
    read = load_ellipsoids(tmp_path / "a.ply")
    cameras = benchmark.around(made, 24)
    before, after = (benchmark.rendered(e, cameras, "exact") for e in (made, read))
    assert (before - after).abs().max() < 1e-5  # 1.5e-6 measured
    assert dict(read.metadata) == dict(made.metadata)


def test_pictures_are_near_those_of_3dgs(tmp_path):
    made = benchmark.random_set(400)
    cameras = benchmark.around(made, 24)
    truth = torch.stack([benchmark.splatted(made, cameras[i]) for i in range(len(cameras))])
    for aggregation in ("sorted", "exact"):
        assert benchmark.psnr(benchmark.rendered(made, cameras, aggregation), truth) > 28


def test_rows_that_cannot_be_shown_are_left_out_with_a_warning(tmp_path):
    x, rot = np.zeros(7, "f4"), np.ones(7, "f4")
    x[2], rot[4] = np.nan, 0
    plyfile_set(tmp_path / "a.ply", x=x, **{f"rot_{i}": rot for i in range(4)})
    with pytest.warns(UserWarning, match="left out 2 ellipsoids not finite or without size or rotation"):
        assert len(load_ellipsoids(tmp_path / "a.ply")) == 5


def test_opacities_of_exactly_0_and_1_are_read_and_written(tmp_path):
    opacity = np.array([np.inf, -np.inf, 0, 1, 2, 3, 4], "f4")
    plyfile_set(tmp_path / "a.ply", opacity=opacity)
    made = load_ellipsoids(tmp_path / "a.ply")
    assert made.density[:2].tolist() == pytest.approx([MOST_DENSITY, 0])
    save_ellipsoids(tmp_path / "b.ply", made)
    again = load_ellipsoids(tmp_path / "b.ply")
    torch.testing.assert_close(again.density, made.density, rtol=1e-5, atol=1e-8)


def test_normals_survive_and_other_attributes_are_named_as_lost(tmp_path):
    made = benchmark.random_set(5)
    normals = torch.nn.functional.normalize(torch.randn(5, 3), dim=1)
    with pytest.warns(UserWarning, match="no place for label, left out"):
        save_ellipsoids(tmp_path / "a.ply", replace(made, extra={"normals": normals, "label": torch.arange(5)}))
    assert torch.equal(load_ellipsoids(tmp_path / "a.ply").extra["normals"], normals)


def test_a_set_without_colors_is_gray_and_one_of_features_is_refused(tmp_path):
    made = replace(benchmark.random_set(5), features=None, extra={})
    save_ellipsoids(tmp_path / "a.ply", made)
    assert load_ellipsoids(tmp_path / "a.ply").features.numpy() == pytest.approx(0.75)
    for suffix in (".ply", ".glb"):
        with pytest.raises(ValueError, match=r"colors \(N, 3\) or grays \(N, 1\), and features are \(5, 7\)"):
            save_ellipsoids(tmp_path / f"b{suffix}", replace(made, features=torch.ones(5, 7)))
    assert [path.name for path in tmp_path.iterdir()] == ["a.ply"]


def test_splats_are_told_from_meshes_and_points_by_their_columns(tmp_path):
    plyfile_set(tmp_path / "splats.ply")
    trimesh.creation.box().export(tmp_path / "mesh.ply")
    trimesh.PointCloud(np.eye(4, 3)).export(tmp_path / "points.ply")
    (tmp_path / "noise.ply").write_text("noise")
    found = {path.stem: holds_ellipsoids(path) for path in tmp_path.iterdir()}
    assert found == {"splats": True, "mesh": False, "points": False, "noise": False}


def test_glb_holds_colored_points(tmp_path):
    made = benchmark.random_set(9)
    save_ellipsoids(tmp_path / "a.glb", made)
    points = load_geometry(tmp_path / "a.glb")
    assert points.points == pytest.approx(made.means.numpy())
    assert points.colors == pytest.approx(made.features.numpy(), abs=0.5 / 255 + 1e-6)


def test_harmonics_survive_the_native_formats(tmp_path):
    made = benchmark.random_set(6)
    for suffix in (".safetensors", ".npz"):
        save_ellipsoids(tmp_path / f"a{suffix}", made)
        assert torch.equal(load_ellipsoids(tmp_path / f"a{suffix}").extra["sh"], made.extra["sh"])


def test_features_of_a_file_are_the_mean_color_over_all_directions(tmp_path):
    plyfile_set(tmp_path / "a.ply", count=1)
    made = load_ellipsoids(tmp_path / "a.ply").to(torch.float64)
    around = torch.nn.functional.normalize(torch.randn(100_000, 3, generator=torch.Generator().manual_seed(0)), dim=1)
    lifted = made.features + 50  # away from the floor at 0
    sh = made.extra["sh"].expand(len(around), -1, -1)
    colors = harmonics.evaluate(lifted.expand(len(around), 3), sh, around.double())
    assert colors.mean(0).numpy() == pytest.approx(lifted[0].numpy(), abs=0.02)
