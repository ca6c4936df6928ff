"""The pipeline's scripts. They import without garbage collection, which frees nothing and takes a quarter of the time.

`transfer.runtime.command.run` turns it on again. dvc.yaml does not name this file, because no result depends on it.
"""

import gc

gc.disable()
