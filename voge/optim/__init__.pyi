from . import least_squares as least_squares
from . import losses as losses
from . import metrics as metrics
from . import optimizer as optimizer
from . import regularizers as regularizers
from . import settings as settings
