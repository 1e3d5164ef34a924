"""The command that an error prints changes the setting of what is not ready."""

import pytest

from kube_registry.errors import HERE
from kube_registry.registry.errors import NotReadyError
from kube_registry.registry.readiness_fixes import NO_CLASS, SHARED_PROXY, SHARED_SERVER
from tests.e2e.commands import commands_of


@pytest.mark.parametrize(
    ("what", "reason", "setting"),
    [
        ("node proxy", "Address already in use", "nodePort"),
        (SHARED_PROXY, "Address already in use", "sharedVolume.port"),
        ("registry", NO_CLASS, "claim.storageClass"),
        (SHARED_SERVER, NO_CLASS, "sharedVolume.storageClass"),
    ],
)
def test_the_setting_is_that_of_what_is_not_ready(what: str, reason: str, setting: str) -> None:
    error = NotReadyError(where=HERE, seconds=8, reason=f"a container: {reason}", what=what)
    (command,) = commands_of(error, "config")
    assert f" {setting} " in command
