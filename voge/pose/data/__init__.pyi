from . import angles as angles
from . import check as check
from . import crops as crops
from . import datasets as datasets
from . import frames as frames
from . import reading as reading
from . import records as records
from . import views as views
