from . import cuboid as cuboid
from . import teapot as teapot
