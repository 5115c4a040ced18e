from . import data as data
from . import estimation as estimation
from . import matching as matching
from . import network as network
from . import synthetic as synthetic
