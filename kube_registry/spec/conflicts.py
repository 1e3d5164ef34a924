"""Settings that are valid on their own, but not with each other."""

from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from kube_registry.spec.corrections import Checked, removal, replaced
from kube_registry.spec.errors import SettingsError
from kube_registry.spec.fields import with_texts
from kube_registry.spec.problems import refused
from kube_registry.spec.sections import S3Settings
from kube_registry.spec.shared_volume import SharedVolumeSettings

if TYPE_CHECKING:
    from kube_registry.spec.settings import RegistrySettings

_LOOPBACK = ("localhost", "127.0.0.1", "::1")

_FIRST_UNPRIVILEGED = 1024
"""The first port that a process without root or a capability can listen on (Linux, ip_unprivileged_port_start)."""

_LONGEST = 63
"""The length of the longest name of a namespace."""


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
    if settings.shared_volume:
        yield from _with_shared_volume(settings, settings.shared_volume, checked)


def _with_bucket(settings: "RegistrySettings", s3: S3Settings, checked: Checked) -> Iterator[SettingsError]:
    if with_texts(checked.current.get("claim")):
        yield _removed(["claim"], "s3 stores the images in a bucket, so the registry has no volume", checked)
    if settings.retain and not (settings.shared_volume or settings.component):  # a program may have a SharedVolume
        yield _removed(["retain"], "the bucket of s3 stays anyway when the stack is destroyed", checked)
    if s3.endpoint and urlsplit(s3.endpoint).hostname in _LOOPBACK:
        place, why = ["s3", "endpoint"], "the registry's pods have a loopback of their own"
        yield refused(place, why, replaced(place, checked), checked)
    if s3.secret and s3.service_account_annotations:
        why = "its keys would override the identity that s3.serviceAccountAnnotations give the pods"
        yield _removed(["s3", "secret"], why, checked)


def _with_shared_volume(
    settings: "RegistrySettings", shared: SharedVolumeSettings, checked: Checked
) -> Iterator[SettingsError]:
    if shared.namespace in (settings.namespace, settings.node_proxy_namespace):
        why = "the registry has this namespace, and the NFS server needs another one"
        yield _removed(["sharedVolume", "namespace"], why, checked)
    place = ["sharedVolume", "namespace"] if shared.namespace else ["namespace"]
    longest = f"{settings.shared_namespace}-proxy" if shared.exposure == "nodeProxy" else settings.shared_namespace
    if len(longest) > _LONGEST:
        why = f"the shared volume needs the namespace {longest}, whose name is longer than {_LONGEST} characters"
        yield refused(place, why, replaced(["sharedVolume", "namespace"], checked), checked)
    if shared.exposure != "clusterIP" and shared.port == settings.node_port:
        usual = settings.node_port == type(settings).model_fields["node_port"].default
        place, other = (["sharedVolume", "port"], "registry") if usual else (["nodePort"], "shared volume")
        yield refused(place, f"the {other} has this port", replaced(place, checked), checked)


def _removed(place: list[str], why: str, checked: Checked) -> SettingsError:
    """Return the error for a setting that has to be removed, including the old names of its parts."""
    old = [[key] for key in checked.old_names(place)]
    places = old if old and not checked.is_given(place) else [place, *old]
    return refused(place, why, [removal(each) for each in places], checked)
