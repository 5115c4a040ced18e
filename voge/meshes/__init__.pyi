from . import mesh as mesh
from . import polygons as polygons
from . import raycast as raycast
from . import resample as resample
from . import surfaces as surfaces
from . import textures as textures
