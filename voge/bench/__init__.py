"""Speed and memory of renderers, side by side on the same scenes: `voge bench` for Python.

`run` measures all that its settings ask for. `scenes` makes the scenes. `contenders` are the renderers: this package's
backends and peers. `measure` times them in turns, `memory` weighs those on the CPU, `plot` draws time against size.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
