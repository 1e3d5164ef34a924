"""Settings that are valid on their own, but not with each other."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from kube_registry.spec.corrections import Checked, removal, replaced
from kube_registry.spec.errors import SettingsError
from kube_registry.spec.fields import with_texts
from kube_registry.spec.problems import refused
from kube_registry.spec.sections import S3Settings

if TYPE_CHECKING:
    from kube_registry.spec.settings import RegistrySettings

_FIRST_UNPRIVILEGED = 1024
"""The first port that a process without root or a capability can listen on (Linux, ip_unprivileged_port_start)."""


def conflicts(settings: "RegistrySettings", checked: Checked) -> Iterator[SettingsError]:
    """Yield an error for each conflict between settings.

    Args:
        settings: the settings.
        checked: the config that they come from.
    """
    if settings.has_node_proxy and settings.node_port < _FIRST_UNPRIVILEGED:
        why = "the node proxy has no privileges, so it cannot listen below 1024"
        yield refused(["nodePort"], why, replaced(["nodePort"], checked), checked)
    if settings.s3:
        yield from _with_bucket(settings, settings.s3, checked)
    elif settings.replicas > 1:
        yield _removed(["replicas"], "a volume allows one pod; only a bucket, the setting s3, allows several", checked)


def _with_bucket(settings: "RegistrySettings", s3: S3Settings, checked: Checked) -> Iterator[SettingsError]:
    if with_texts(checked.current.get("claim")):
        yield _removed(["claim"], "s3 stores the images in a bucket, so the registry has no volume", checked)
    if settings.retain:
        yield _removed(["retain"], "the bucket of s3 stays anyway when the stack is destroyed", checked)
    if s3.secret and s3.service_account_annotations:
        why = "its keys would override the identity that s3.serviceAccountAnnotations give the pods"
        yield _removed(["s3", "secret"], why, checked)


def _removed(place: list[str], why: str, checked: Checked) -> SettingsError:
    """Return the error for a setting that has to be removed, including the old names of its parts."""
    old = [[key] for key in checked.old_names(place)]
    places = old if old and not checked.is_given(place) else [place, *old]
    return refused(place, why, [removal(each) for each in places], checked)
