from . import rigid as rigid
from . import rotations as rotations
from . import similarity as similarity
