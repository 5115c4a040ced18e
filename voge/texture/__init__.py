"""Colors and features of ellipsoids from pictures of them (paper, sections 3.4, 4.4 and C.2)."""

from voge.texture.extraction import SEEN as SEEN
from voge.texture.extraction import Extracted as Extracted
from voge.texture.extraction import Solver as Solver
from voge.texture.extraction import Solving as Solving
from voge.texture.extraction import extract as extract
from voge.texture.extraction import filled as filled
from voge.texture.extraction import shrunk as shrunk
from voge.texture.extraction import silhouette_weight as silhouette_weight
