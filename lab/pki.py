"""A cluster's certificate authority, the certificates that it signs, and kubeconfigs that contain them."""

import base64
import ipaddress
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALID_DAYS = 3650


@dataclass(frozen=True)
class Authority:
    """The files of a certificate authority, and of the key that signs service account tokens."""

    folder: Path

    @property
    def certificate(self) -> Path:
        """The certificate, in PEM."""
        return self.folder / "ca.crt"

    @property
    def key(self) -> Path:
        """The private key, in PEM, readable by root only."""
        return self.folder / "ca.key"

    @property
    def service_account_key(self) -> Path:
        """The private key for service account tokens, in PEM, readable by root only."""
        return self.folder / "service-account.key"


@dataclass(frozen=True)
class Identity:
    """A signed certificate and its key, both PEM."""

    certificate: str
    key: str


def found(folder: Path) -> Authority:
    """Return the authority in a folder; create it if it does not exist. Idempotent."""
    authority = Authority(folder)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not authority.certificate.exists():
        write_secret(authority.service_account_key, _pem(ec.generate_private_key(ec.SECP256R1())))
        key = ec.generate_private_key(ec.SECP256R1())
        write_secret(authority.key, _pem(key))
        name = _name("kube-registry-lab")
        certificate = (
            _unsigned(name, name, key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_CA_USAGE, critical=True)
            .sign(key, hashes.SHA256())
        )
        # Written last: if it exists, all other files exist.
        authority.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return authority


def issue(authority: Authority, name: str, *, groups: Sequence[str] = (), addresses: Sequence[str] = ()) -> Identity:
    """Issue a certificate for a client, and for a server if it has addresses.

    Args:
        authority: the authority that signs it.
        name: the user's name in Kubernetes.
        groups: the groups of the user.
        addresses: IP addresses and DNS names of the server.
    """
    ca = x509.load_pem_x509_certificate(authority.certificate.read_bytes())
    ca_key = serialization.load_pem_private_key(authority.key.read_bytes(), None)
    if not isinstance(ca_key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{authority.key} holds no elliptic curve key")
    key = ec.generate_private_key(ec.SECP256R1())
    usages = [ExtendedKeyUsageOID.CLIENT_AUTH, *([ExtendedKeyUsageOID.SERVER_AUTH] if addresses else [])]
    builder = _unsigned(_name(name, groups), ca.subject, key.public_key()).add_extension(
        x509.ExtendedKeyUsage(usages), critical=False
    )
    if addresses:
        names = x509.SubjectAlternativeName([_alternative(a) for a in addresses])
        builder = builder.add_extension(names, critical=False)
    certificate = builder.sign(ca_key, hashes.SHA256())
    return Identity(certificate.public_bytes(serialization.Encoding.PEM).decode(), _pem(key))


def kubeconfig(authority: Authority, identity: Identity, *, server: str, kube_context: str) -> str:
    """Return a self-contained kubeconfig with one kube context, as JSON, which is valid YAML."""
    cluster = {"server": server, "certificate-authority-data": _base64(authority.certificate.read_text())}
    user = {
        "client-certificate-data": _base64(identity.certificate),
        "client-key-data": _base64(identity.key),
    }
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": kube_context, "cluster": cluster}],
        "users": [{"name": kube_context, "user": user}],
        "contexts": [{"name": kube_context, "context": {"cluster": kube_context, "user": kube_context}}],
        "current-context": kube_context,
    }
    return json.dumps(content, indent=2) + "\n"


def write_secret(file: Path, content: str) -> None:
    """Write a file that only root can read."""
    file.touch(mode=0o600)
    file.write_text(content)


_CA_USAGE = x509.KeyUsage(
    digital_signature=True,
    key_cert_sign=True,
    crl_sign=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    encipher_only=False,
    decipher_only=False,
)


def _unsigned(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))  # a clock may be slow
        .not_valid_after(now + timedelta(days=VALID_DAYS))
    )


def _name(common: str, groups: Sequence[str] = ()) -> x509.Name:
    return x509.Name(
        [
            *(x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


def _alternative(address: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(address))
    except ValueError:
        return x509.DNSName(address)


def _pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    ).decode()


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
