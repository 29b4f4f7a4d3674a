"""What a cluster starts: tune, engine, evaluate."""

import atexit
import gc
import sys

# Python looks for `python -m fettle.workers.X`; whoever imports us for himself keeps his own settings.
if sys.argv[0] == "-m":
    # What modules make as they load lives to the end: to look through it for garbage again and again, and once more at
    # the end, costs a fifth of a short process.
    gc.set_threshold(50_000)
    atexit.register(gc.disable)
