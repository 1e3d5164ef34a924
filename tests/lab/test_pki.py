import base64
import json
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lab import pki


def test_an_authority_is_made_once_and_its_keys_are_roots(tmp_path: Path) -> None:
    authority = pki.found(tmp_path / "pki")
    before = authority.certificate.read_bytes()
    assert pki.found(tmp_path / "pki").certificate.read_bytes() == before
    assert {file.stat().st_mode & 0o777 for file in (authority.key, authority.service_account_key)} == {0o600}


def test_a_certificate_carries_user_and_groups_and_is_the_authoritys(tmp_path: Path) -> None:
    authority = pki.found(tmp_path)
    issued = x509.load_pem_x509_certificate(
        pki.issue(authority, "reviewer", groups=["readers", "people"]).certificate.encode()
    )
    issued.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.certificate.read_bytes()))
    assert [a.value for a in issued.subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == ["reviewer"]
    assert {a.value for a in issued.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)} == {"readers", "people"}
    usages = issued.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [ExtendedKeyUsageOID.CLIENT_AUTH]


def test_who_has_addresses_may_serve_under_them(tmp_path: Path) -> None:
    identity = pki.issue(pki.found(tmp_path), "server", addresses=["10.0.0.1", "kubernetes"])
    issued = x509.load_pem_x509_certificate(identity.certificate.encode())
    names = issued.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(name) for name in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.1"]
    assert names.get_values_for_type(x509.DNSName) == ["kubernetes"]
    usages = issued.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert ExtendedKeyUsageOID.SERVER_AUTH in usages


def test_a_kubeconfig_needs_no_other_file(tmp_path: Path) -> None:
    authority = pki.found(tmp_path)
    identity = pki.issue(authority, "admin")
    content = json.loads(pki.kubeconfig(authority, identity, server="https://10.0.0.1:6443", kube_context="lab-dev"))
    user = content["users"][0]["user"]
    pair = tmp_path / "pair.pem"
    pair.write_bytes(base64.b64decode(user["client-certificate-data"]) + base64.b64decode(user["client-key-data"]))
    trust = base64.b64decode(content["clusters"][0]["cluster"]["certificate-authority-data"]).decode()
    ssl.create_default_context(cadata=trust).load_cert_chain(pair)
    assert content["current-context"] == "lab-dev"
