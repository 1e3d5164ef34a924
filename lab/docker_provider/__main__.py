"""Run the plugin, with only the protocol of Pulumi's SDK.

Every command of Pulumi starts the plugin. The imports of the packages that contain the protocol would take half of the
CPU time of a start.
"""

import sys
from importlib import import_module
from importlib.util import find_spec, module_from_spec

for _package in ("pulumi", "pulumi.runtime"):
    if _spec := find_spec(_package):
        sys.modules[_package] = module_from_spec(_spec)  # not executed

import_module("lab.docker_provider.serve").main()
