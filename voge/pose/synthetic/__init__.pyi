from . import benchmark as benchmark
from . import photographs as photographs
from . import shapes as shapes
