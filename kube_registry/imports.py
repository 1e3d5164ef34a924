"""Import of modules that import many others."""

import gc
from importlib import import_module
from types import ModuleType


def import_large(name: str, package: str | None = None) -> ModuleType:
    """Import a module, without a search for garbage until it is imported.

    Python would search again and again, which takes a fifth of the time of such an import, although modules leave
    hardly any garbage. What exists afterwards is never searched again (gc.freeze).

    Args:
        name: name of the module; a relative name starts with a dot.
        package: the package that a relative name belongs to.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        return import_module(name, package)
    finally:
        gc.freeze()
        if collecting:
            gc.enable()
