"""How fast and how large renderers are, side by side on the same scenes: what `voge bench` measures.

`scenes` makes what is rendered, `contenders` are who renders it (this package's backends and peers), `measure` times
them in turns, `memory` weighs the CPU's, `plot` draws time against size.
"""
