#!/bin/bash
# decode_index_buffer of meshoptimizer 0.2.30a0 (Python) with index_size=2 returns an array of uint32 of the full
# count; the indices, 16 bits each, lie in its first half. `.view(numpy.uint16)[:count]` gives them; the numbers as
# they stand do not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet meshoptimizer==0.2.30a0 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'END'
import meshoptimizer
import numpy as np

corners = np.array([0, 1, 2, 2, 1, 3], np.uint32)
packed = meshoptimizer.encode_index_buffer(corners, 6, 4)
wide, narrow = (meshoptimizer.decode_index_buffer(6, size, packed) for size in (4, 2))
print("index_size=4", wide, "index_size=2", narrow, narrow.dtype)
assert wide.tolist() == corners.tolist()
assert narrow.dtype == np.uint32 and narrow.tolist() == [65536, 131074, 196609, 0, 0, 0]
assert narrow.view(np.uint16)[:6].tolist() == corners.tolist()
END
