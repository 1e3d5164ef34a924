"""The fields of a kubeconfig that do not change with time. test_kubeconfig.py uses them over real sockets and TLS."""

import base64
from pathlib import Path
from typing import Any

import pytest

from kube_registry.kube.api_server import ApiServer, api_server
from kube_registry.kube.credentials import authorization
from kube_registry.kube.kubeconfig import KubeContext, UnusableError

SERVER = "https://10.0.0.1:6443"


def read(cluster: dict[str, Any], user: dict[str, Any]) -> ApiServer:
    return api_server(KubeContext({"server": SERVER, **cluster}, user))


def encoded(pem: bytes) -> str:
    return base64.b64encode(pem).decode()


def test_data_takes_precedence_over_a_file(tmp_path: Path) -> None:
    """As in client-go (tools/clientcmd/api/v1/types.go: the data "overrides" the file)."""
    file = tmp_path / "pem"
    file.write_bytes(b"of the file")
    names = ("certificate-authority", "client-certificate", "client-key")
    files = dict.fromkeys(names, str(file))
    of_files = read(files, files)
    assert (of_files.authority, of_files.certificate, of_files.key) == (b"of the file",) * 3
    both = {**files, **{f"{name}-data": encoded(name.encode()) for name in names}}
    of_data = read(both, both)
    assert (of_data.authority, of_data.certificate, of_data.key) == tuple(name.encode() for name in names)


def test_a_key_is_not_shown() -> None:
    server = read({"proxy-url": "http://me:s3cr3t@10.0.0.2"}, {"client-key-data": encoded(b"s3cr3t")})
    assert server.key == b"s3cr3t"
    assert "s3cr3t" not in repr(server)


@pytest.mark.parametrize(("skip", "verify"), [(True, False), (False, True), (None, True)])
def test_a_certificate_is_verified_unless_the_kubeconfig_says_otherwise(skip: bool | None, *, verify: bool) -> None:  # noqa: FBT001
    assert read({} if skip is None else {"insecure-skip-tls-verify": skip}, {}).verify is verify


def test_without_tls_no_certificate_is_read() -> None:
    missing = {"certificate-authority": "/nowhere", "client-certificate": "/nowhere", "client-key": "/nowhere"}
    assert read({**missing, "server": "10.0.0.1:8080/"}, missing) == ApiServer("http://10.0.0.1:8080")


def test_a_file_that_is_missing_is_an_error() -> None:
    with pytest.raises(FileNotFoundError, match="/nowhere"):
        read({"certificate-authority": "/nowhere"}, {})


@pytest.mark.parametrize("data", ["a", 5, ["x"]])
def test_data_that_is_not_base64_is_an_error(data: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        read({"certificate-authority-data": data}, {})


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ({}, None),
        ({"token": "t\n"}, "Bearer t"),
        ({"token": "t", "username": "eve", "password": "secret"}, "Bearer t"),
        ({"username": "eve", "password": "secret"}, f"Basic {encoded(b'eve:secret')}"),
        ({"username": "eve"}, f"Basic {encoded(b'eve:')}"),
        ({"password": "secret"}, f"Basic {encoded(b':secret')}"),
        ({"auth-provider": {"name": "oidc", "config": {"id-token": "jwt"}}, "token": "t"}, "Bearer jwt"),
    ],
)
def test_one_header_authenticates(user: dict[str, Any], expected: str | None) -> None:
    assert authorization(user) == expected


@pytest.mark.parametrize("provider", [{"name": "azure"}, {"name": "oidc"}, {"name": "oidc", "config": None}])
def test_an_auth_provider_without_a_token_is_an_error(provider: dict[str, Any]) -> None:
    with pytest.raises(UnusableError):
        authorization({"auth-provider": provider, "token": "t"})
