"""Meshes and points as other tools write them, form by form: what is read has the value that the format gives it."""

from __future__ import annotations

import base64
import io
import json
import struct
import sys

import numpy as np
import pytest
from PIL import Image

from voge.errors import DataError
from voge.io.meshes import load_geometry
from voge.meshes.mesh import Mesh, Points
from voge.meshes.polygons import triangulate

TRIANGLE = np.array([[0, 0, 0], [2, 0, 0], [0, 2, 0]], "<f4")  # area 2
RAISED = TRIANGLE + np.array([0, 0, 5], "<f4")
HALVES = Image.new("RGB", (16, 16), (0, 255, 0))  # green on the left, red on the right
HALVES.paste((255, 0, 0), (8, 0, 16, 16))
LEFT = np.array([[0.1, 0.2], [0.4, 0.2], [0.1, 0.8]], "<f4")
KINDS = {"f4": 5126, "i1": 5120, "u1": 5121, "i2": 5122, "u2": 5123, "u4": 5125}


class Builder:
    """A glTF document under construction."""

    def __init__(self, **more):
        self.data = b""
        lists = {
            name: [] for name in ("bufferViews", "accessors", "meshes", "nodes", "materials", "textures", "images")
        }
        self.document = {"asset": {"version": "2.0"}, **lists, **more}

    def view(self, data, **more):
        self.data += b"\0" * (-len(self.data) % 4)
        view = {"buffer": 0, "byteOffset": len(self.data), "byteLength": len(data), **more}
        self.document["bufferViews"].append(view)
        self.data += data
        return len(self.document["bufferViews"]) - 1

    def accessor(self, values, normalized=False, **more):
        values = np.asarray(values)
        width = 1 if values.ndim == 1 else values.shape[1]
        kind = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}[width]
        entry = {"componentType": KINDS[values.dtype.str[1:]], "count": len(values), "type": kind, **more}
        entry["bufferView"] = self.view(values.tobytes())
        if normalized:
            entry["normalized"] = True
        self.document["accessors"].append(entry)
        return len(self.document["accessors"]) - 1

    def material(self, **facts):
        self.document["materials"].append(facts)
        return len(self.document["materials"]) - 1

    def texture(self, image, **more):
        stream = io.BytesIO()
        image.save(stream, "PNG")
        self.document["images"].append({"bufferView": self.view(stream.getvalue()), "mimeType": "image/png"})
        self.document["textures"].append({"source": len(self.document["images"]) - 1, **more})
        return {"index": len(self.document["textures"]) - 1}

    def node(self, primitive, **more):
        self.document["meshes"].append({"primitives": [primitive]})
        self.document["nodes"].append({"mesh": len(self.document["meshes"]) - 1, **more})
        return len(self.document["nodes"]) - 1

    def save(self, path):
        uri = "data:application/octet-stream;base64," + base64.b64encode(self.data).decode()
        self.document["buffers"] = [{"byteLength": len(self.data), "uri": uri}]
        path.write_text(json.dumps(self.document))
        return path


def triangle(builder, points=TRIANGLE, **attributes):
    return {"attributes": {"POSITION": builder.accessor(points), **attributes}}


def mesh_of(path):
    found = load_geometry(path)
    assert isinstance(found, Mesh), found
    return found


def points_of(path):
    found = load_geometry(path)
    assert isinstance(found, Points), found
    return found


def area(mesh):
    corners = mesh.vertices[mesh.faces]
    return np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1).sum() / 2


def write(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


# ---- Integers that stand for fractions -------------------------------------------------------


@pytest.mark.parametrize(("kind", "top"), [("i1", 127), ("u1", 255), ("i2", 32767), ("u2", 65535)])
def test_normalized_positions_are_fractions_by_their_type(tmp_path, kind, top):
    builder = Builder()
    stored = (TRIANGLE / 2 * top).astype(f"<{kind}")
    builder.node({"attributes": {"POSITION": builder.accessor(stored, normalized=True)}}, scale=[2, 2, 2])
    assert mesh_of(builder.save(tmp_path / "a.gltf")).vertices == pytest.approx(TRIANGLE, abs=1e-6)


def test_signed_fractions_go_from_minus_one_and_no_further(tmp_path):
    builder = Builder()
    stored = np.array([[-128, 0, 0], [127, 0, 0], [-127, 127, 0]], "<i1")
    builder.node({"attributes": {"POSITION": builder.accessor(stored, normalized=True)}})
    assert mesh_of(builder.save(tmp_path / "a.gltf")).vertices[:, 0].tolist() == [-1, 1, -1]


@pytest.mark.parametrize("kind", ["u1", "u2", "f4"])
def test_colors_and_texture_coordinates_mean_the_same_in_every_type(tmp_path, kind):
    builder = Builder()
    top = 1 if kind == "f4" else np.iinfo(kind).max
    store = lambda values: builder.accessor((np.asarray(values) * top).astype(f"<{kind}"), kind != "f4")  # noqa: E731
    colors = store([[1, 0.5, 0.25]] * 3)
    builder.node(triangle(builder, COLOR_0=colors))
    painted = builder.material(pbrMetallicRoughness={"baseColorTexture": builder.texture(HALVES)})
    builder.node({**triangle(builder, RAISED, TEXCOORD_0=store(LEFT)), "material": painted})
    mesh = mesh_of(builder.save(tmp_path / "a.gltf"))
    assert mesh.colors[mesh.vertices[:, 2] == 0] == pytest.approx(np.array([[1, 0.5, 0.25]] * 3), abs=0.003)
    assert mesh.colors[mesh.vertices[:, 2] == 5] == pytest.approx(np.array([[0, 1, 0]] * 3), abs=0.01)


@pytest.mark.parametrize("names", [("red", "green", "blue"), ("diffuse_red", "diffuse_green", "diffuse_blue")])
@pytest.mark.parametrize(
    ("kind", "row"), [("ushort", "65535 32768 16384"), ("uchar", "255 128 64"), ("float", "1 .5 .25")]
)
def test_columns_of_ply_are_fractions_by_their_type(tmp_path, names, kind, row):
    head = "".join(f"property float {name}\n" for name in "xyz") + "".join(f"property {kind} {n}\n" for n in names)
    text = f"ply\nformat ascii 1.0\nelement vertex 4\n{head}end_header\n" + "".join(
        f"{i} {i * i} 0 {row}\n" for i in range(4)
    )
    assert points_of(write(tmp_path / "a.ply", text)).colors == pytest.approx(np.array([[1, 0.5, 0.25]] * 4), abs=0.003)


@pytest.mark.parametrize(("row", "color"), [("65280 32768 16384", 65280 / 65535), ("255 128 64", 1), ("1 0.5 0.25", 1)])
def test_colors_of_text_tell_their_range(tmp_path, row, color):
    text = "".join(f"{i} {i * i} 0 {row}\n" for i in range(5))
    assert points_of(write(tmp_path / "a.xyz", text)).colors[0] == pytest.approx([color, 0.5, 0.25], abs=0.004)


@pytest.mark.parametrize("kind", [np.uint16, np.uint8, "1"])
def test_gray_textures_keep_their_level_in_every_depth(tmp_path, kind):
    gray = Image.new("1", (8, 8), 1) if kind == "1" else Image.fromarray(np.full((8, 8), np.iinfo(kind).max // 5, kind))
    gray.save(tmp_path / "g.png")
    write(tmp_path / "m.mtl", "newmtl m\nmap_Kd g.png\n")
    level = 1.0 if kind == "1" else 0.2
    assert mesh_of(obj(tmp_path, "m.mtl", "usemtl m\nf 1/1 2/2 3/3\n")).colors == pytest.approx(
        np.full((3, 3), level), abs=0.003
    )


# ---- glTF: accessors, faces, scenes ----------------------------------------------------------


def test_sparse_values_replace_those_of_the_view_and_of_none(tmp_path):
    for with_view in (True, False):
        builder = Builder()
        number = builder.accessor(TRIANGLE)
        rows, values = (
            builder.view(np.array([0, 2], "<u1").tobytes()),
            builder.view(np.array([[0, 0, 1], [0, 4, 1]], "<f4").tobytes()),
        )
        entry = builder.document["accessors"][number]
        entry["sparse"] = {
            "count": 2,
            "indices": {"bufferView": rows, "componentType": 5121},
            "values": {"bufferView": values},
        }
        if not with_view:
            del entry["bufferView"]
        builder.node({"attributes": {"POSITION": number}})
        expected = [[0, 0, 1], [2, 0, 0] if with_view else [0, 0, 0], [0, 4, 1]]
        assert sorted(mesh_of(builder.save(tmp_path / "a.gltf")).vertices.tolist()) == sorted(
            map(list, map(map, [float] * 3, expected))
        )


def test_rows_of_a_view_may_lie_apart(tmp_path):
    builder = Builder()
    rows = np.zeros((3, 5), "<f4")
    rows[:, :3] = TRIANGLE
    number = builder.accessor(TRIANGLE)
    builder.document["accessors"][number]["bufferView"] = builder.view(rows.tobytes(), byteStride=20)
    builder.node({"attributes": {"POSITION": number}})
    assert mesh_of(builder.save(tmp_path / "a.gltf")).vertices == pytest.approx(TRIANGLE)


@pytest.mark.parametrize(("mode", "faces"), [(5, 3), (6, 3), (4, 1)])
def test_strips_and_fans_turn_one_way(tmp_path, mode, faces):
    ring = {
        5: [[0, 0], [1, 0], [0, 1], [1, 1], [0, 2]],
        6: [[0, 0], [1, 0], [1, 1], [0, 1], [-1, 1]],
        4: TRIANGLE[:, :2],
    }
    points = np.array([[x, y, 0] for x, y in ring[mode]], "<f4")
    builder = Builder()
    builder.node({**triangle(builder, points), "mode": mode})
    mesh = mesh_of(builder.save(tmp_path / "a.gltf"))
    assert len(mesh.faces) == faces
    assert (mesh.normals[:, 2] > 0.99).all()


def test_lines_and_points_beside_faces_are_left_out_with_a_note(tmp_path):
    builder = Builder(animations=[{}], cameras=[{}, {}])
    builder.node(triangle(builder))
    builder.node({**triangle(builder), "mode": 1})
    builder.node({**triangle(builder), "mode": 0})
    notes = mesh_of(builder.save(tmp_path / "a.gltf")).notes
    assert notes == (
        "its 1 animations are left out",
        "its 2 cameras are left out",
        "its lines are left out",
        "its 3 points beside the faces are left out",
    )


def test_of_several_scenes_the_default_is_read(tmp_path):
    builder = Builder(scene=1)
    first, second = builder.node(triangle(builder)), builder.node(triangle(builder), translation=[9, 0, 0])
    builder.document["scenes"] = [{"nodes": [first]}, {"nodes": [second]}]
    mesh = mesh_of(builder.save(tmp_path / "a.gltf"))
    assert mesh.vertices[:, 0].min() == 9
    assert mesh.notes == ("of its 2 scenes only number 1 is read",)


def test_children_stand_in_the_frame_of_their_parents(tmp_path):
    builder = Builder()
    child = builder.node(triangle(builder), translation=[1, 0, 0])
    half = 0.5**0.5
    builder.document["nodes"].append({"children": [child], "rotation": [0, 0, half, half], "scale": [2, 2, 2]})
    builder.document["scenes"] = [{"nodes": [child + 1]}]
    vertices = mesh_of(builder.save(tmp_path / "a.gltf")).vertices
    assert sorted(np.round(vertices, 6).tolist()) == [[-4, 2, 0], [0, 2, 0], [0, 6, 0]]


def test_a_node_that_stands_in_the_scene_twice_is_refused(tmp_path):
    builder = Builder()
    node = builder.node(triangle(builder))
    builder.document["nodes"][node]["children"] = [node]
    builder.document["scenes"] = [{"nodes": [node]}]
    with pytest.raises(DataError, match=r"nodes\[0\] stands in the scene twice"):
        load_geometry(builder.save(tmp_path / "a.gltf"))


def test_joints_place_a_skinned_mesh_and_its_node_does_not(tmp_path):
    builder = Builder()
    inverse = np.eye(4, dtype="<f4")
    inverse[3, :3] = [-1, 0, 0]  # by columns: the joint was bound at x = 1
    names = builder.accessor(np.array([[0, 1, 0, 0]] * 3, "<u2"))
    weights = builder.accessor(np.array([[191, 64, 0, 0]] * 3, "<u1"), normalized=True)
    primitive = triangle(builder, JOINTS_0=names, WEIGHTS_0=weights)
    node = builder.node(primitive, skin=0, translation=[100, 0, 0])
    builder.document["nodes"] += [{"translation": [3, 0, 0], "children": [2]}, {"translation": [0, 4, 0]}]
    binds = builder.accessor(np.stack([inverse.reshape(-1)] * 2))
    builder.document["skins"] = [{"joints": [1, 2], "inverseBindMatrices": binds}]
    builder.document["scenes"] = [{"nodes": [node, 1]}]
    places = builder.accessor(np.array([[0, 0, 0], [9, 0, 0]], "<f4"))
    instances = {"EXT_mesh_gpu_instancing": {"attributes": {"TRANSLATION": places}}}
    builder.document["nodes"][node]["extensions"] = instances
    shift = np.array([2.0, 4 * 64 / 255, 0])
    mesh = mesh_of(builder.save(tmp_path / "a.gltf"))
    assert mesh.vertices == pytest.approx(TRIANGLE + shift, abs=1e-5)
    assert mesh.notes == ("instances of its skinned meshes are left out: their joints place them once",)


@pytest.mark.parametrize("place", ["mesh", "node"])
def test_morph_targets_stand_at_their_default_weights(tmp_path, place):
    builder = Builder()
    primitive = triangle(builder)
    primitive["targets"] = [{"POSITION": builder.accessor(np.full((3, 3), 4, "<f4"))}, {}]
    node = builder.node(primitive, **({"weights": [0.25, 1]} if place == "node" else {}))
    builder.document["meshes"][node]["weights"] = [0.5 if place == "node" else 0.25, 0]
    assert mesh_of(builder.save(tmp_path / "a.gltf")).vertices == pytest.approx(TRIANGLE + 1)


@pytest.mark.parametrize("required", [True, False])
def test_instances_are_read_with_their_places_turns_and_sizes(tmp_path, required):
    builder = Builder(extensionsUsed=["EXT_mesh_gpu_instancing"])
    if required:
        builder.document["extensionsRequired"] = ["EXT_mesh_gpu_instancing"]
    attributes = {
        "TRANSLATION": builder.accessor(np.array([[0, 0, 0], [50, 0, 0]], "<f4")),
        "ROTATION": builder.accessor(np.array([[0, 0, 0, 127], [0, 0, 127, 0]], "<i1"), normalized=True),
        "SCALE": builder.accessor(np.array([[1, 1, 1], [3, 3, 3]], "<f4")),
    }
    builder.node(triangle(builder), extensions={"EXT_mesh_gpu_instancing": {"attributes": attributes}})
    mesh = mesh_of(builder.save(tmp_path / "a.gltf"))
    assert area(mesh) == pytest.approx(2 + 18)
    assert (mesh.vertices[:, 0].min(), mesh.vertices[:, 0].max()) == pytest.approx((0, 50), abs=1e-5)  # turned by half
    assert mesh.vertices[:, 1].min() == pytest.approx(-6)


def test_an_extension_that_is_not_read_is_named(tmp_path):
    builder = Builder(extensionsUsed=["KHR_materials_variants", "VENDOR_curves", "KHR_texture_transform"])
    builder.node(triangle(builder))
    assert mesh_of(builder.save(tmp_path / "a.gltf")).notes == (
        "it uses KHR_materials_variants, VENDOR_curves, not read here",
    )


# ---- glTF: colors ----------------------------------------------------------------------------


def test_colors_of_vertices_multiply_the_material_and_its_picture(tmp_path):
    builder = Builder()
    colors = builder.accessor(np.array([[1, 0.5, 0, 1]] * 3, "<f4"))
    plain = builder.material(pbrMetallicRoughness={"baseColorFactor": [0.5, 1, 1, 1]})
    white = builder.material(
        pbrMetallicRoughness={"baseColorTexture": builder.texture(Image.new("RGB", (4, 4), "white"))}
    )
    builder.node({**triangle(builder, COLOR_0=colors), "material": plain})
    uv = builder.accessor(LEFT)
    builder.node({**triangle(builder, RAISED, COLOR_0=colors, TEXCOORD_0=uv), "material": white})
    mesh = mesh_of(builder.save(tmp_path / "a.gltf"))
    assert mesh.colors[mesh.vertices[:, 2] == 0] == pytest.approx(np.array([[0.5, 0.5, 0]] * 3))
    assert mesh.colors[mesh.vertices[:, 2] == 5] == pytest.approx(np.array([[1, 0.5, 0]] * 3), abs=0.01)


@pytest.mark.parametrize("by", ["info", "transform"])
def test_the_set_of_coordinates_is_that_of_the_texture(tmp_path, by):
    builder = Builder(extensionsUsed=["KHR_texture_transform"])
    info = builder.texture(HALVES)
    info |= (
        {"texCoord": 1} if by == "info" else {"texCoord": 0, "extensions": {"KHR_texture_transform": {"texCoord": 1}}}
    )
    material = builder.material(pbrMetallicRoughness={"baseColorTexture": info})
    sets = {"TEXCOORD_0": builder.accessor(LEFT), "TEXCOORD_1": builder.accessor(LEFT + np.array([0.5, 0], "<f4"))}
    builder.node({**triangle(builder, **sets), "material": material})
    assert mesh_of(builder.save(tmp_path / "a.gltf")).colors == pytest.approx(np.array([[1, 0, 0]] * 3), abs=0.01)


@pytest.mark.parametrize(
    ("moved", "color"),
    [
        ({"offset": [0.5, 0]}, [1, 0, 0]),
        ({"scale": [-1, 1]}, [1, 0, 0]),
        ({"offset": [0, 1], "rotation": np.pi / 2}, None),  # (u, v) becomes (v, 1 - u)
    ],
)
def test_texture_transforms_move_the_picture(tmp_path, moved, color):
    picture = HALVES if color else HALVES.transpose(Image.Transpose.ROTATE_270)  # green above
    builder = Builder(extensionsRequired=["KHR_texture_transform"], extensionsUsed=["KHR_texture_transform"])
    info = builder.texture(picture) | {"extensions": {"KHR_texture_transform": moved}}
    material = builder.material(pbrMetallicRoughness={"baseColorTexture": info})
    builder.node({**triangle(builder, TEXCOORD_0=builder.accessor(LEFT)), "material": material})
    mesh = mesh_of(builder.save(tmp_path / "a.gltf"))
    # A quarter turn takes the left, u below a half, to the lower half: red there.
    assert mesh.colors == pytest.approx(np.array([color or [1, 0, 0]] * 3), abs=0.01)


@pytest.mark.parametrize(
    ("mode", "shift", "color"),
    [
        (33071, 1, [1, 0, 0]),
        (33648, 1, [1, 0, 0]),
        (10497, 1, [0, 1, 0]),
        (33071, -1, [0, 1, 0]),
        (33648, 2, [0, 1, 0]),
    ],
)
def test_beyond_its_rim_a_picture_goes_on_as_the_sampler_says(tmp_path, mode, shift, color):
    builder = Builder(samplers=[{"wrapS": mode, "wrapT": mode}])
    info = builder.texture(HALVES, sampler=0)
    material = builder.material(pbrMetallicRoughness={"baseColorTexture": info})
    uv = builder.accessor(LEFT + np.array([shift, 0], "<f4"))
    builder.node({**triangle(builder, TEXCOORD_0=uv), "material": material})
    assert mesh_of(builder.save(tmp_path / "a.gltf")).colors == pytest.approx(np.array([color] * 3), abs=0.01)


@pytest.mark.parametrize("textured", [True, False])
def test_specular_glossiness_has_a_diffuse_color(tmp_path, textured):
    name = "KHR_materials_pbrSpecularGlossiness"
    builder = Builder(extensionsUsed=[name])
    inner = {"diffuseTexture": builder.texture(HALVES)} if textured else {"diffuseFactor": [0, 1, 0, 1]}
    material = builder.material(extensions={name: inner}, pbrMetallicRoughness={"baseColorFactor": [1, 0, 1, 1]})
    builder.node({**triangle(builder, TEXCOORD_0=builder.accessor(LEFT)), "material": material})
    assert mesh_of(builder.save(tmp_path / "a.gltf")).colors == pytest.approx(np.array([[0, 1, 0]] * 3), abs=0.01)


def test_what_a_material_has_beyond_its_base_color_is_named(tmp_path):
    builder = Builder()
    info = builder.texture(HALVES)
    material = builder.material(normalTexture=info, emissiveFactor=[1, 0, 0], alphaMode="BLEND")
    builder.node({**triangle(builder), "material": material})
    assert mesh_of(builder.save(tmp_path / "a.gltf")).notes == (
        "its materials have normalTexture, emissiveFactor, which are not shown",
        "its materials are see-through (alphaMode BLEND) and shown opaque",
    )


def test_meshes_that_share_vertices_keep_their_own_colors(tmp_path):
    builder = Builder()
    points = builder.accessor(np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [5, 5, 0], [6, 5, 0], [5, 6, 0]], "<f4"))
    for start, color in ((0, [1, 0, 0, 1]), (3, [0, 0, 1, 1])):
        material = builder.material(pbrMetallicRoughness={"baseColorFactor": color})
        rows = builder.accessor(np.arange(start, start + 3, dtype="<u2"))
        builder.node({"attributes": {"POSITION": points}, "indices": rows, "material": material})
    mesh = mesh_of(builder.save(tmp_path / "a.gltf"))
    assert mesh.colors[mesh.vertices[:, 0] < 2].tolist() == [[1, 0, 0]] * 3
    assert mesh.colors[mesh.vertices[:, 0] > 2].tolist() == [[0, 0, 1]] * 3


# ---- glTF: compression -----------------------------------------------------------------------


@pytest.mark.parametrize("required", [True, False])
def test_draco_is_decoded(tmp_path, required):
    draco = pytest.importorskip("DracoPy")
    name = "KHR_draco_mesh_compression"
    packed = draco.encode(
        TRIANGLE.astype(float), faces=np.array([[0, 1, 2]]), colors=np.array([[51, 255, 102]] * 3, np.uint8)
    )
    decoded = draco.decode(packed)
    numbers = {3: "", **{a["attribute_type"]: a["unique_id"] for a in decoded.attributes}}
    builder = Builder(extensionsUsed=[name], **({"extensionsRequired": [name]} if required else {}))
    view = builder.view(packed)
    inner = {"bufferView": view, "attributes": {"POSITION": numbers[0], "COLOR_0": numbers[2]}}
    empty = [
        {"componentType": 5126, "count": 3, "type": "VEC3"},
        {"componentType": 5121, "count": 3, "type": "VEC3", "normalized": True},
    ]
    builder.document["accessors"] += empty
    builder.node({"attributes": {"POSITION": 0, "COLOR_0": 1}, "extensions": {name: inner}})
    mesh = mesh_of(builder.save(tmp_path / "a.gltf"))
    assert area(mesh) == pytest.approx(2, rel=1e-3)
    assert mesh.colors == pytest.approx(np.array([[0.2, 1, 0.4]] * 3), abs=0.01)


def test_meshoptimizer_is_decoded(tmp_path):
    optimizer = pytest.importorskip("meshoptimizer")
    name = "EXT_meshopt_compression"
    rows = np.concatenate([TRIANGLE, np.zeros((3, 1), "<f4")], 1)
    packed = bytes(optimizer.encode_vertex_buffer(rows, 3, 16))
    builder = Builder(extensionsUsed=[name], extensionsRequired=[name])
    number = builder.accessor(TRIANGLE)
    view = builder.view(packed)
    inner = {**builder.document["bufferViews"][view], "byteStride": 16, "count": 3, "mode": "ATTRIBUTES"}
    builder.document["bufferViews"].append(
        {"buffer": 0, "byteLength": 48, "byteStride": 16, "extensions": {name: inner}}
    )
    builder.document["accessors"][number]["bufferView"] = view + 1
    builder.node({"attributes": {"POSITION": number}})
    assert mesh_of(builder.save(tmp_path / "a.gltf")).vertices == pytest.approx(TRIANGLE)


@pytest.mark.parametrize("name", ["DracoPy", "meshoptimizer"])
def test_without_its_decoder_compressed_gltf_names_what_to_install(tmp_path, monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    builder = Builder()
    primitive = triangle(builder)
    if name == "DracoPy":
        primitive["extensions"] = {"KHR_draco_mesh_compression": {"bufferView": 0, "attributes": {"POSITION": 0}}}
    else:
        inner = {"buffer": 0, "byteLength": 36, "byteStride": 12, "count": 3, "mode": "ATTRIBUTES"}
        builder.document["bufferViews"][0]["extensions"] = {"EXT_meshopt_compression": inner}
    builder.node(primitive)
    with pytest.raises(DataError, match=r"needs a decoder; pip install voge\[gltf\], or export it uncompressed"):
        load_geometry(builder.save(tmp_path / "a.gltf"))


# ---- Polygons --------------------------------------------------------------------------------

ARROW = [[0, 0], [4, 0], [1, 1], [0, 4]]  # a quad with a corner that points inwards
STAR = [[np.cos(a) * r, np.sin(a) * r] for a, r in zip(np.arange(10) * np.pi / 5, [2, 0.5] * 5, strict=True)]


@pytest.mark.parametrize("ring", [ARROW, ARROW[1:] + ARROW[:1], STAR, STAR[::-1], STAR[3:] + STAR[:3]])
@pytest.mark.parametrize("tilt", [0.0, 1.0])
def test_polygons_are_covered_and_nothing_else(ring, tilt):
    points = np.array([[x, y, tilt * x - 0.3 * tilt * y] for x, y in ring])
    places, owner = triangulate(points, np.arange(len(ring)), np.array([len(ring)]))
    corners = points[places]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]) / 2
    whole = np.cross(points, np.roll(points, -1, 0)).sum(0) / 2
    assert len(places) == len(ring) - 2
    assert owner.tolist() == [0] * len(places)
    assert normals.sum(0) == pytest.approx(whole)
    assert np.linalg.norm(normals, axis=1).sum() == pytest.approx(np.linalg.norm(whole))  # none lies over another


def test_polygons_of_all_sizes_stay_in_order():
    points = np.random.default_rng(0).normal(size=(12, 3))
    places, owner = triangulate(points, np.arange(12), np.array([3, 2, 4, 3]))
    assert owner.tolist() == [0, 2, 2, 3]
    assert set(places[owner == 3].reshape(-1)) == {9, 10, 11}


@pytest.mark.parametrize("suffix", ["obj", "ply", "off"])
def test_concave_faces_keep_their_area_in_every_format(tmp_path, suffix):
    rows = "".join(f"{x} {y} 0\n" for x, y in ARROW)
    texts = {
        "obj": "".join(f"v {row}\n" for row in rows.splitlines()) + "f 1 2 3 4\n",
        "ply": ply([("vertex", 4, XYZ), ("face", 1, "property list uchar int vertex_index\n")], f"{rows}4 0 1 2 3\n"),
        "off": f"OFF\n4 1 0\n{rows}4 0 1 2 3\n",
    }
    assert area(mesh_of(write(tmp_path / f"a.{suffix}", texts[suffix]))) == pytest.approx(4)


# ---- OBJ -------------------------------------------------------------------------------------

CORNERS = "v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0.1 0.5\nvt 0.4 0.5\nvt 0.1 0.9\n"


def obj(folder, library, faces, corners=CORNERS):
    return write(folder / "a.obj", f"mtllib {library}\n{corners}{faces}")


def picture(path, color):
    path.parent.mkdir(exist_ok=True)
    Image.new("RGB", (4, 4), color).save(path)


@pytest.mark.parametrize(
    "faces",
    [
        ["f -3 -2 -1", "f -3 -2 -1"],
        ["f 1 2 -1", "f 4 -2 6"],
        ["f -3/-3 -2/-2 -1/-1", "f -3/-3 -2/-2 -1/-1"],
        ["f -3//-3 -2//-2 -1//-1", "f 4//4 5//5 6//6"],
        ["  f -3/1/1 -2/1/1 -1/1/1 # here", "f -3//1 -2/1 -1"],
        ["f \\\n -3 -2 -1", "f\t-3 -2 -1"],
    ],
)
def test_relative_indices_count_from_where_the_face_stands(tmp_path, faces):
    blocks = [
        [f"v {x} 0 0", f"v {x + 1} 0 0", f"v {x} 1 0", "vt 0 0", "vt 1 0", "vt 0 1", *["vn 0 0 1"] * 3] for x in (0, 5)
    ]
    lines = [line for block, face in zip(blocks, faces, strict=True) for line in [*block, face]]
    mesh = mesh_of(write(tmp_path / "a.obj", "\n".join(lines) + "\n"))
    assert sorted(mesh.vertices[:, 0].tolist()) == [0, 0, 1, 5, 5, 6]
    assert mesh.faces.tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    ("face", "named"), [("f 1 2 -5", "-5 of 3"), ("f 0 1 2", "0 of 3"), ("f 1/9 2/9 3/9", "1/9 of 3")]
)
def test_an_index_to_nothing_is_named(tmp_path, face, named):
    with pytest.raises(DataError, match=f"vertex data that are not there \\({named}\\)"):
        load_geometry(write(tmp_path / "a.obj", CORNERS + face + "\n"))


@pytest.mark.parametrize("libraries", ["a.mtl b.mtl", "a.mtl\nmtllib b.mtl", "./a.mtl\nmtllib sub\\b.mtl"])
def test_materials_come_from_all_libraries(tmp_path, libraries):
    write(tmp_path / "a.mtl", "\ufeffnewmtl red # bright\nKd 1 0 0 # 255 0 0\n")
    write(tmp_path / "b.mtl", "newmtl green\r\n\tKd 0 1 0\r\n")
    faces = "usemtl red\nf 1 2 3\nv 5 0 0\nv 6 0 0\nv 5 1 0\nusemtl green\nf 4 5 6\n"
    mesh = mesh_of(obj(tmp_path, libraries, faces))
    assert mesh.colors[mesh.vertices[:, 0] < 2].tolist() == [[1, 0, 0]] * 3
    assert mesh.colors[mesh.vertices[:, 0] > 2].tolist() == [[0, 1, 0]] * 3
    assert mesh.notes == ()


@pytest.mark.parametrize(
    "name",
    [
        "maps\\blue.png",
        "maps/blue.png",
        "/home/somebody/maps/blue.png",
        "C:\\work\\blue.png",
        '"maps/blue.png"',
        "-s 1 1 1 -o 0 0 0 maps/blue.png",
        "-clamp on -mm 0 1 -bm 1 blue sky.png",
        "-o 0.5 maps\\blue.png",
        "maps/blue.png # of the sea",
    ],
)
def test_pictures_are_found_under_the_names_that_tools_write(tmp_path, name):
    for place in ("maps/blue.png", "blue.png", "blue sky.png"):
        picture(tmp_path / place, (0, 0, 255))
    write(tmp_path / "m.mtl", f"newmtl m\nKd 0.6 0.6 0.6\nmap_Kd {name}\n")
    mesh = mesh_of(obj(tmp_path, "m.mtl", "usemtl m\nf 1/1 2/2 3/3\n"))
    assert mesh.colors == pytest.approx(np.array([[0, 0, 1]] * 3), abs=0.01)
    assert mesh.notes == ()


def test_options_scale_and_shift_the_coordinates(tmp_path):
    HALVES.save(tmp_path / "h.png")
    write(tmp_path / "m.mtl", "newmtl m\nmap_Kd -o 0.5 0 0 h.png\n")
    assert mesh_of(obj(tmp_path, "m.mtl", "usemtl m\nf 1/1 2/2 3/3\n")).colors == pytest.approx(
        np.array([[1, 0, 0]] * 3), abs=0.01
    )
    write(tmp_path / "m.mtl", "newmtl m\nmap_Kd -s 0.5 1 1 -o 0.55 h.png\n")
    assert mesh_of(obj(tmp_path, "m.mtl", "usemtl m\nf 1/1 2/2 3/3\n")).colors[:, 0] == pytest.approx([1] * 3, abs=0.02)


@pytest.mark.parametrize("library", ["newmtl only\nKd 0 0.5 1\n", "newmtl only\nKd 1 1 1\nmap_Kd c.png\n"])
def test_a_lone_material_is_that_of_faces_that_name_none(tmp_path, library):
    picture(tmp_path / "c.png", (0, 128, 255))
    write(tmp_path / "m.mtl", library)
    mesh = mesh_of(obj(tmp_path, "m.mtl", "f 1/1 2/2 3/3\n"))
    assert mesh.colors == pytest.approx(np.array([[0, 0.5, 1]] * 3), abs=0.01)


def test_of_several_materials_none_is_guessed(tmp_path):
    write(tmp_path / "m.mtl", "newmtl a\nKd 1 0 0\nnewmtl b\nKd 0 1 0\n")
    mesh = mesh_of(obj(tmp_path, "m.mtl", "f 1 2 3\n"))
    assert mesh.colors is None
    assert mesh.notes == ("its faces name none of the 2 materials, so it has no colors from them",)


def test_a_material_that_no_library_has_is_named(tmp_path):
    write(tmp_path / "m.mtl", "newmtl a\nKd 1 0 0\n")
    assert mesh_of(obj(tmp_path, "m.mtl", "usemtl b\nf 1 2 3\n")).notes == (
        "its faces name the material b, which no library has",
    )


def test_lines_and_curves_are_left_out_with_a_note(tmp_path):
    mesh = mesh_of(write(tmp_path / "a.obj", CORNERS + "f 1 2 3\nl 1 2\ncurv 0 1 1 2\n"))
    assert mesh.notes == ("its lines are left out", "its curves and surfaces are left out")


# ---- PLY, OFF, STL, text ---------------------------------------------------------------------

XYZ = "property float x\nproperty float y\nproperty float z\n"
SQUARE = "0 0 0\n1 0 0\n1 1 0\n0 1 0\n"


def ply(elements, rows, order="ascii"):
    head = "".join(f"element {name} {count}\n{properties}" for name, count, properties in elements)
    return f"ply\nformat {order} 1.0\n{head}end_header\n{rows}"


@pytest.mark.parametrize("ends", ["9 0 1 3 2 -1 0 3 1 -1", "4 0 1 3 2"])
def test_triangle_strips_of_ply_are_faces(tmp_path, ends):
    text = ply([("vertex", 4, XYZ), ("tristrips", 1, "property list int int vertex_indices\n")], f"{SQUARE}{ends}\n")
    mesh = mesh_of(write(tmp_path / "a.ply", text))
    assert area(mesh) == pytest.approx(1.5 if ends.startswith("9") else 1)


@pytest.mark.parametrize("kind", ["uchar", "ushort", "float"])
@pytest.mark.parametrize("suffix", ["ply", "off"])
def test_colors_of_faces_stay_with_their_faces(tmp_path, kind, suffix):
    top = {"uchar": 255, "ushort": 65535, "float": 1}[kind]
    if suffix == "off":
        one = "1.0" if kind == "float" else "255"
        none = "0.0" if kind == "float" else "0"
        text = f"OFF\n6 2 0\n{SQUARE}5 5 0\n6 5 0\n4 0 1 2 3 {one} {none} 0\n3 3 4 5 0 0 {one} 1\n"
    else:
        properties = "property list uchar int vertex_indices\n" + "".join(
            f"property {kind} {c}\n" for c in ("red", "green", "blue")
        )
        text = ply(
            [("vertex", 6, XYZ), ("face", 2, properties)],
            f"{SQUARE}5 5 0\n6 5 0\n4 0 1 2 3 {top} 0 0\n3 3 4 5 0 0 {top}\n",
        )
    mesh = mesh_of(write(tmp_path / f"a.{suffix}", text))
    assert mesh.colors[0] == pytest.approx([1, 0, 0])
    assert mesh.colors[5] == pytest.approx([0, 0, 1])
    assert mesh.texture.lookup(np.array([0, 2]), np.full((2, 3), 1 / 3)) == pytest.approx(
        np.array([[1, 0, 0], [0, 0, 1]])
    )


@pytest.mark.parametrize("order", ["<", ">"])
def test_lists_of_any_length_stand_beside_the_numbers_of_a_vertex(tmp_path, order):
    properties = XYZ + "property list uchar uint seen\nproperty uchar red\nproperty uchar green\nproperty uchar blue\n"
    properties += "property list uchar float weights\n"
    name = {"<": "binary_little_endian", ">": "binary_big_endian"}[order]
    rows = b""
    for number in range(9):
        count = number % 4
        rows += struct.pack(f"{order}3fB{count}I", number, number**2, 0, count, *range(count))
        rows += struct.pack(f"{order}3BB{count + 1}f", 255, 128, 64, count + 1, *range(count + 1))
    points = points_of(write(tmp_path / "a.ply", ply([("vertex", 9, properties)], "", name).encode() + rows))
    assert points.points[:, 1].tolist() == [n**2 for n in range(9)]
    assert points.colors == pytest.approx(np.array([[1, 0.5, 0.25]] * 9), abs=0.003)


def test_elements_before_the_vertices_are_passed_over(tmp_path):
    camera = "property list uchar int ids\nproperty float f\n"
    rows = struct.pack("<B2if", 2, 7, 8, 1.5) + struct.pack("<12f", *map(float, SQUARE.split()))
    text = ply([("camera", 1, camera), ("vertex", 4, XYZ)], "", "binary_little_endian")
    assert len(points_of(write(tmp_path / "a.ply", text.encode() + rows)).points) == 4


@pytest.mark.parametrize("where", ["vertices", "corners"])
def test_a_texture_named_in_a_ply_colors_it(tmp_path, where):
    HALVES.save(tmp_path / "h.png")
    uv = ["0.1 0.1", "0.4 0.1", "0.4 0.9", "0.1 0.9"]
    face = "property list uchar int vertex_indices\n"
    if where == "vertices":
        rows = "".join(f"{row} {pair}\n" for row, pair in zip(SQUARE.splitlines(), uv, strict=True)) + "4 0 1 2 3\n"
        elements = [("vertex", 4, XYZ + "property float s\nproperty float t\n"), ("face", 1, face)]
    else:
        rows = f"{SQUARE}4 0 1 2 3 8 {' '.join(uv)}\n"
        elements = [("vertex", 4, XYZ), ("face", 1, face + "property list uchar float texcoord\n")]
    text = ply(elements, rows).replace("1.0\n", "1.0\ncomment TextureFile h.png\n", 1)
    assert mesh_of(write(tmp_path / "a.ply", text)).colors == pytest.approx(np.array([[0, 1, 0]] * 4), abs=0.01)


@pytest.mark.parametrize(
    ("head", "vertex", "color"),
    [
        ("OFF4 1 0", "{}", None),
        ("OFF 4 1 0", "{}", None),
        ("off\n# counts\n4 1 0", "{}", None),
        ("COFF\n4 1 0", "{} 255 0 0 255", [1, 0, 0]),
        ("COFF4 1 0", "{} 0.0 1.0 0.0 1.0", [0, 1, 0]),
        ("CNOFF\n4 1 0", "{} 0 0 1 255 0 0 255", [1, 0, 0]),
        ("NCOFF 4 1 0", "{} 0 0 1 0 255 0 255", [0, 1, 0]),
        ("NCOFF\n4 1 0", "{} 0 255 0 255 0 0 -2.5", [0, 1, 0]),  # as MeshLab writes it
        ("NCOFF\n4 1 0", "{} 0 0 -1 0 255 0 255", [0, 1, 0]),
        ("CNOFF\n4 1 0", "{} 1.0 0.5 0.0 0 0 -1", [1, 0.5, 0]),
        ("NOFF\n4 1 0", "{} 0 0 1", None),
        ("STOFF\n4 1 0", "{} 0.5 0.5", None),
    ],
)
def test_all_heads_of_off_are_read(tmp_path, head, vertex, color):
    rows = "\n".join(vertex.format(row) for row in SQUARE.splitlines())
    mesh = mesh_of(write(tmp_path / "a.off", f"{head}\n{rows}\n4 0 1 2 3\n"))
    assert area(mesh) == pytest.approx(1)
    assert (mesh.colors is None) if color is None else (mesh.colors == pytest.approx(np.array([color] * 4)))


def stl(triangles, head=b"binary", tail=b"", attribute=0):
    body = b"".join(struct.pack("<12fH", 0, 0, 0, *np.ravel(t), attribute) for t in triangles)
    return head.ljust(80, b" ") + struct.pack("<I", len(triangles)) + body + tail


@pytest.mark.parametrize(
    ("data", "notes"),
    [
        (stl([TRIANGLE]), 0),
        (stl([TRIANGLE], head=b"solid by a CAD program"), 0),
        (stl([TRIANGLE], tail=b"\0" * 7), 1),
        (stl([TRIANGLE], head=b"solid facet\xe9", tail=b"end"), 1),
        (stl([TRIANGLE], attribute=0x8123), 1),
        (
            b"solid caf\xe9\nfacet normal 0 0 1\nouter loop\nvertex 0 0 0\nvertex 2 0 0\nVERTEX 0 2e0 0\n"
            b"endloop\nendfacet\nendsolid\n",
            0,
        ),
    ],
)
def test_all_kinds_of_stl_are_read(tmp_path, data, notes):
    mesh = mesh_of(write(tmp_path / "a.stl", data))
    assert area(mesh) == pytest.approx(2)
    assert len(mesh.notes) == notes


@pytest.mark.parametrize(
    ("text", "notes"),
    [
        ("//X Y Z R G B\n4\n{}", 0),
        ("4\n{}", 0),
        ("x,y,z,red,green,blue\n{}", 0),
        ("# made by a scanner\n{}", 0),
        ("//X Y Z Scalar R G B\n{s}", 1),
        ("X;Y;Z;Intensity;R;G;B\n{s}", 1),
        ("{s}", 1),
    ],
)
@pytest.mark.parametrize("suffix", ["xyz", "txt", "pts", "csv", "asc"])
def test_points_in_text_have_headings_counts_and_intensities(tmp_path, text, notes, suffix):
    rows = "".join(f"{i} {i * i} 0 255 128 64\n" for i in range(4))
    scalar = "".join(f"{i} {i * i} 0 0.7 255 128 64\n" for i in range(4))
    points = points_of(write(tmp_path / f"a.{suffix}", text.format(rows, s=scalar)))
    assert points.points[:, 1].tolist() == [0, 1, 4, 9]
    assert points.colors == pytest.approx(np.array([[1, 0.5, 0.25]] * 4), abs=0.003)
    assert len(points.notes) == notes


@pytest.mark.parametrize(
    ("suffix", "row", "color", "note"),
    [
        ("xyz", "{} 0 0 40.0 20.0 250.0 255.0", [40 / 255, 20 / 255, 250 / 255], "opacity"),  # as trimesh writes it
        ("txt", "{} 0 0 0.5 0.25 0.75 1", [0.5, 0.25, 0.75], "opacity"),
        ("pts", "{} 0 0 40 20 250 255", [20 / 255, 250 / 255, 1], "intensity"),
        ("xyz", "{} 0 0 40 255 255 255", [1, 1, 1], "intensity"),
        ("xyz", "{} 0 0 -40 20 250 255", [20 / 255, 250 / 255, 1], "intensity"),
    ],
)
def test_a_seventh_column_that_is_full_is_an_opacity(tmp_path, suffix, row, color, note):
    text = "".join(row.format(i) + "\n" for i in range(4))
    points = points_of(write(tmp_path / f"a.{suffix}", text))
    assert points.colors == pytest.approx(np.array([color] * 4), abs=0.003)
    assert note in points.notes[0]


TRIPLE = "v 0 0 0\nv 1 0 0\nv 0 1 0\n"


@pytest.mark.parametrize(("key", "end"), [("\t", "\n"), ("  ", "\r\n"), (" \t ", "\r")])
def test_keys_of_obj_are_parted_by_any_blanks(tmp_path, key, end):
    (tmp_path / "my looks.mtl").write_bytes(f"newmtl{key}dark red{end}Kd{key}.5 0 0{end}".encode())
    text = f"mtllib{key}my looks.mtl\n{TRIPLE}usemtl{key}dark red\nf{key}1 2 3\n"
    (tmp_path / "a.obj").write_bytes(text.replace("\n", end).encode())
    np.testing.assert_allclose(mesh_of(tmp_path / "a.obj").colors, [[0.5, 0, 0]] * 3)


def test_a_backslash_ends_no_remark_and_joins_lines(tmp_path):
    (tmp_path / "a.mtl").write_bytes(b"# C:\\looks\\\r\nnewmtl m\r\nKd .5 \\\r\n0 0\r\n")
    (tmp_path / "a.obj").write_bytes(b"# D:\\out\\\r\nmtllib a.mtl\r\n" + TRIPLE.encode() + b"usemtl m\nf 1 2 \\\n3\n")
    mesh = mesh_of(tmp_path / "a.obj")
    assert len(mesh.vertices) == 3
    np.testing.assert_allclose(mesh.colors, [[0.5, 0, 0]] * 3)


@pytest.mark.parametrize("row", ["{} .2 .4 .6 1", "{} 1 .2 .4 .6", "{} .2 .4 .6"])
def test_colors_of_obj_stand_behind_a_weight_or_before_an_opacity(tmp_path, row):
    rows = [row.format(place) for place in ("v 0 0 0", "v 1 0 0", "v 0 1 0")]
    (tmp_path / "a.obj").write_text("\n".join([*rows, "f 1 2 3"]))
    np.testing.assert_allclose(mesh_of(tmp_path / "a.obj").colors, [[0.2, 0.4, 0.6]] * 3, atol=1e-6)


def test_what_an_obj_means_and_is_not_shown_is_told(tmp_path):
    (tmp_path / "a.obj").write_text("v 0 0 0 1 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    [note] = mesh_of(tmp_path / "a.obj").notes
    assert "2 of its 3 vertices have no color" in note
    HALVES.save(tmp_path / "p.png")
    (tmp_path / "b.mtl").write_text("newmtl m\nmap_Kd -mm .2 .5 p.png\nmap_d p.png\n")
    (tmp_path / "b.obj").write_text(f"mtllib b.mtl\n{TRIPLE}vt 0 0\nusemtl m\nf 1/1 2/1 3/1\n")
    brighter, clear = mesh_of(tmp_path / "b.obj").notes
    assert "-mm" in brighter
    assert "map_d" in clear


@pytest.mark.parametrize("face", ["f 1/a 2/1 3", "f 1 2 x", "f 99999999999999999999/1 1 2/1"])
def test_faces_of_obj_are_refused_in_words_of_the_file(tmp_path, face):
    (tmp_path / "a.obj").write_text(f"{TRIPLE}vt 0 0\n{face}\n")
    with pytest.raises(DataError) as caught:
        load_geometry(tmp_path / "a.obj")
    assert "int" not in str(caught.value).removeprefix(str(tmp_path)).replace("point", "")


def test_corners_of_obj_with_parts_in_the_wrong_place_are_no_other_corners(tmp_path):
    (tmp_path / "a.obj").write_text(f"{TRIPLE}vn 0 0 1\nf 1//1 //1 3//1\n")
    with pytest.raises(DataError, match="vertex data that are not there"):
        load_geometry(tmp_path / "a.obj")
    (tmp_path / "b.obj").write_text(f"{TRIPLE}vn 0 0 1\nf 1 2//1 3//1//1\n")  # as many // as corners
    np.testing.assert_array_equal(mesh_of(tmp_path / "b.obj").faces, [[0, 1, 2]])


def test_names_that_no_system_has_are_not_beside_the_file(tmp_path):
    (tmp_path / "a.obj").write_text(f"mtllib {'a' * 5000}.mtl\n{TRIPLE}f 1 2 3\n")
    [note] = mesh_of(tmp_path / "a.obj").notes
    assert "not beside it" in note
    assert len(note) < 250


@pytest.mark.parametrize("uri", ["my%20data\\part.bin", "my data\\part.bin", "my%20data%5Cpart.bin", "D:\\x\\lone.bin"])
def test_data_of_gltf_are_found_by_windows_names(tmp_path, uri):
    (tmp_path / "my data").mkdir()
    for name in ("my data/part.bin", "lone.bin"):
        (tmp_path / name).write_bytes(TRIANGLE.tobytes())
    document = {
        "asset": {"version": "2.0"},
        "buffers": [{"byteLength": 36, "uri": uri}],
        "bufferViews": [{"buffer": 0, "byteLength": 36}],
        "accessors": [{"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
        "nodes": [{"mesh": 0}],
    }
    (tmp_path / "a.gltf").write_text(json.dumps(document))
    np.testing.assert_allclose(mesh_of(tmp_path / "a.gltf").vertices, TRIANGLE)


@pytest.mark.parametrize(("uri", "rows", "word"), [("b" * 5000, 3, "not beside"), ("", 10**12, "without a bufferView")])
def test_gltf_of_attackers_is_refused_in_a_short_line(tmp_path, uri, rows, word):
    accessor = {"componentType": 5126, "count": rows, "type": "VEC3"}
    document = {
        "asset": {"version": "2.0"},
        "buffers": [{"byteLength": 36, "uri": uri}] if uri else [],
        "accessors": [accessor],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
        "nodes": [{"mesh": 0}],
    }
    (tmp_path / "a.gltf").write_text(json.dumps(document))
    with pytest.raises(DataError, match=word) as caught:
        load_geometry(tmp_path / "a.gltf")
    assert "Errno" not in str(caught.value)
    assert "allocate" not in str(caught.value)


@pytest.mark.parametrize("row", ["0,5;{},25;2", "0,5 {},25 2", "0,5\t{},25\t2,0"])
def test_commas_are_points_where_something_else_parts_numbers(tmp_path, row):
    (tmp_path / "a.txt").write_text("".join(row.format(n) + "\n" for n in range(4)))
    np.testing.assert_allclose(load_geometry(tmp_path / "a.txt").points, [[0.5, n + 0.25, 2] for n in range(4)])


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_points_in_windows_encodings(tmp_path, encoding):
    (tmp_path / "a.csv").write_bytes("x,y,z\r\n1,2,3\r\n4,5,6\r\n".encode(encoding))
    np.testing.assert_allclose(load_geometry(tmp_path / "a.csv").points, [[1, 2, 3], [4, 5, 6]])


@pytest.mark.parametrize("behind", ["255 0 0", "255 0 0 255", "1.0 0.0 0.0"])
def test_colors_in_a_plain_off_are_read_and_told(tmp_path, behind):
    rows = "".join(f"{place} {behind}\n" for place in ("0 0 0", "1 0 0", "0 1 0"))
    (tmp_path / "a.off").write_text(f"OFF\n3 1 0\n{rows}3 0 1 2\n")
    mesh = mesh_of(tmp_path / "a.off")
    np.testing.assert_allclose(mesh.colors, [[1, 0, 0]] * 3)
    assert "as of COFF" in mesh.notes[0]


@pytest.mark.parametrize(
    ("column", "row", "told"), [("uint rgba", "7", "rgba"), ("uchar alpha", "9", "alpha"), ("uchar alpha", "255", "")]
)
def test_columns_of_ply_that_are_not_read_are_told(tmp_path, column, row, told):
    rows = "".join(f"{n} 0 0 {row}\n" for n in range(3))
    places = "property float x\nproperty float y\nproperty float z\n"
    head = f"ply\nformat ascii 1.0\nelement vertex 3\n{places}property {column}\nend_header\n"
    (tmp_path / "a.ply").write_text(head + rows)
    notes = load_geometry(tmp_path / "a.ply").notes
    assert notes == ((f"its columns {told} are left out",) if told else ())
