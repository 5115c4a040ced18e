from . import backbones as backbones
from . import bank as bank
from . import features as features
from . import model as model
from . import processes as processes
from . import training as training
