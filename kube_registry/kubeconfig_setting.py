"""The setting `kubeconfig`: the path of a file, or the content of a kubeconfig, which must never be printed."""

import base64
import json
from collections.abc import Mapping
from pathlib import Path

from kube_registry.names import IN_CLUSTER

_SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
"""Folder of a pod's service account (Kubernetes documentation, Accessing the Kubernetes API from a Pod)."""

_LONGEST_PATH = 512
"""In characters. A longer value is not a path but, for example, a base64 kubeconfig or a token: errors must not print
it."""

_IN_NO_PATH = '\r\n{"'
"""Characters that hardly any path contains, and that every kubeconfig contains, even a damaged one."""

_URL_SAFE = str.maketrans("-_", "+/")
"""Translate URL-safe base64 to standard base64 (RFC 4648)."""


def is_contents(setting: str) -> bool:
    """Return whether the setting contains a kubeconfig instead of a path.

    Pulumi's provider treats every value that is not an existing file as contents (provider/pkg/provider/util.go,
    parseKubeconfigString). A misspelt path would then count as contents, and no error could print it.
    """
    text = setting.strip()
    return len(text) > _LONGEST_PATH or any(character in text for character in _IN_NO_PATH) or is_encoded(text)


def with_home(setting: str) -> str:
    """Return the setting with ~ expanded, if it is a path."""
    if is_contents(setting):
        return setting
    try:
        return str(Path(setting).expanduser())
    except RuntimeError:  # ~NAME of a user that does not exist on this machine
        return setting


def is_encoded(text: str) -> bool:
    """Return whether a text is a base64 kubeconfig, as CI variables and outputs of cloud clusters often contain it."""
    try:
        return b"clusters" in base64.b64decode("".join(text.split()).translate(_URL_SAFE), validate=True)
    except ValueError:
        return False


def service_account(environment: Mapping[str, str]) -> str:
    """Return a kubeconfig for the service account of the current pod.

    Args:
        environment: the pod's environment, in which the kubelet sets the API server's address.
    """
    host, port = (environment.get(f"KUBERNETES_SERVICE_{part}", "") for part in ("HOST", "PORT"))
    server = f"https://{f'[{host}]' if ':' in host else host}:{port}"
    cluster = {"server": server, "certificate-authority": f"{_SERVICE_ACCOUNT}/ca.crt"}
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": IN_CLUSTER, "cluster": cluster}],
            "users": [{"name": IN_CLUSTER, "user": {"tokenFile": f"{_SERVICE_ACCOUNT}/token"}}],
            "contexts": [{"name": IN_CLUSTER, "context": {"cluster": IN_CLUSTER, "user": IN_CLUSTER}}],
        }
    )
