"""Commands in processes of their own that a test may kill, quickly: torch is imported once for all of them."""

import multiprocessing
import os
import sys

# Beside what commands import, what the first optimizer, picture and graph of neighbors do.
PRELOADED = [
    "torch._dynamo",
    "scipy.spatial",
    "scipy.sparse.linalg",
    "trimesh",
    "voge.fitting.files",
    "voge_cli.fit_run",
]


def launch(*arguments, errors=os.devnull):
    """The program on its way in a process with one thread; what it says goes to the file `errors`."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    process = context.Process(target=_program, args=([str(a) for a in arguments], str(errors)))
    process.start()
    return process


def _program(arguments, errors):
    import torch

    from voge_cli.main import main

    with open(errors, "w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    torch.set_num_threads(1)
    sys.argv = ["voge", *arguments]
    main()
