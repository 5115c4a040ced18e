#!/bin/bash
# Bitmap.read of pycolmap 4.2.1 gives the stored rows of a JPEG and ignores its EXIF orientation, as COLMAP does, so
# its poses belong to stored rows. Pillow's ImageOps.exif_transpose and most viewers turn such a photo.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pycolmap==4.2.1 Pillow==13.0.0 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'END'
import numpy as np
import pycolmap
from PIL import Image, ImageOps

picture = Image.new("RGB", (64, 48))
picture.paste((255, 0, 0), (0, 0, 64, 24))
exif = Image.Exif()
exif[0x0112] = 6  # turn by 90 degrees to show
picture.save("a.jpg", exif=exif, quality=95)
rows = np.asarray(pycolmap.Bitmap.read("a.jpg", True).to_array())
turned = ImageOps.exif_transpose(Image.open("a.jpg")).size
print("pycolmap: height and width", rows.shape[:2], "- turned, width and height", turned)
assert rows.shape[:2] == (48, 64) and turned == (48, 64)
assert rows[:20, :, 0].mean() > 240 and rows[-20:, :, 0].mean() < 15
END
