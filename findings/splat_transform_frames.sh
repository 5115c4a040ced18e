#!/bin/bash
# splat-transform 2.7.1 turns positions by the format that it writes: .spz has (x, -y, -z) and .glb has (-x, -y, z) of
# the numbers in the .ply, without a node that turns them back. Files of one scene lie apart where a reader takes
# positions as stored. Needs node and npm.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund @playcanvas/splat-transform@2.7.1
python3 - <<'END'
import struct

names = "x y z f_dc_0 f_dc_1 f_dc_2 opacity scale_0 scale_1 scale_2 rot_0 rot_1 rot_2 rot_3".split()
head = "ply\nformat binary_little_endian 1.0\nelement vertex 2\n" + "".join(f"property float {n}\n" for n in names)
rows = [(*place, 0, 0, 0, 0, -3, -3, -3, 1, 0, 0, 0) for place in ((1, 2, 3), (4, 5, 6))]
open("a.ply", "wb").write((head + "end_header\n").encode() + b"".join(struct.pack("<14f", *row) for row in rows))
END
node_modules/.bin/splat-transform -q a.ply a.glb
node_modules/.bin/splat-transform -q --spz-version 3 a.ply a.spz
python3 - <<'END'
import gzip
import json
import struct

data = open("a.glb", "rb").read()
length = struct.unpack("<I", data[12:16])[0]
document, body = json.loads(data[20 : 20 + length]), data[28 + length :]
accessor = document["accessors"][document["meshes"][0]["primitives"][0]["attributes"]["POSITION"]]
start = document["bufferViews"][accessor["bufferView"]].get("byteOffset", 0) + accessor.get("byteOffset", 0)
glb = struct.unpack("<6f", body[start : start + 24])
packed = gzip.decompress(open("a.spz", "rb").read())
bits = packed[13]  # of the fraction
spz = [int.from_bytes(packed[i : i + 3], "little", signed=True) / 2**bits for i in range(16, 34, 3)]
print("nodes", document["nodes"], "glb", glb, "spz", spz)
assert all(set(node) <= {"mesh", "name"} for node in document["nodes"])
assert glb == (-1, -2, 3, -4, -5, 6) and spz == [1, -2, -3, 4, -5, -6]
END
