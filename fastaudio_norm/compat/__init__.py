"""fastaudio 1.0.2 on the current fastai, PyTorch and Python."""

import fastaudio_norm.compat.hook  # the other modules are imported together with fastaudio
