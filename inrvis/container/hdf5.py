"""The one place that imports h5py.

ParaView links a libhdf5 of its own. Loaded after it, the h5py wheel's library would bind to
ParaView's symbols and fail at import ("Not a datatype"), poisoning the process for good.
RTLD_DEEPBIND makes the wheel prefer its own symbols, so both live side by side.
"""

from __future__ import annotations

import os
import sys

_deepbind = getattr(os, "RTLD_DEEPBIND", None)
if _deepbind is not None:
    _flags = sys.getdlopenflags()
    sys.setdlopenflags(os.RTLD_NOW | _deepbind)
try:
    import h5py
finally:
    if _deepbind is not None:
        sys.setdlopenflags(_flags)

__all__ = ["h5py"]
