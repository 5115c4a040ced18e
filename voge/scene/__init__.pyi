from . import cameras as cameras
from . import capture as capture
from . import ellipsoids as ellipsoids
from . import extent as extent
from . import harmonics as harmonics
from . import lenses as lenses
from . import objects as objects
from . import viewpoints as viewpoints
