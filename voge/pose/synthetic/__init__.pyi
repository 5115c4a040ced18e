from . import benchmark as benchmark
from . import photographs as photographs
from . import settings as settings
from . import shapes as shapes
