from . import color as color
from . import lighting as lighting
from . import overview as overview
from . import pictures as pictures
from . import previews as previews
from . import scale_check as scale_check
from . import writer as writer
