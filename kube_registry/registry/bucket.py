"""Explain why the registry cannot use its bucket, from the answer of distribution's S3 driver.

The driver does not connect when the registry starts, so a wrong bucket or wrong keys are found by the first request:
that of the container `bucket`, before a pod starts its doors, or later one of ours. The registry answers it with 500
and a detail, which it also logs: the error code and the message of the server, or the HTTP client's message.

Source: distribution v3.1 registry/storage/driver/s3-aws; the codes are in the API reference of Amazon S3, "Error
responses".
"""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from kube_registry.errors import ClusterError, Where
from kube_registry.kube.client import KubeClient
from kube_registry.kube.pods import Object
from kube_registry.names import BUCKET_KEYS, REGISTRY
from kube_registry.registry.errors import BucketError, RegistryError
from kube_registry.registry.readiness_fixes import set_key
from kube_registry.text import one_line

_DETAIL = re.compile(r's3aws: (?P<code>\w+): (?P<message>(?:[^"\\\n]|\\.)*)')
"""A detail of the driver, escaped as in a JSON document; the registry's log escapes it in the same way."""

_NO_ANSWER = "RequestError"
_LATE = "RequestCanceled"
"""The request was given up because the server did not respond in time."""

_NO_S3 = "SerializationError"
"""The answer is not one of an S3 server."""

_NOT_TRUSTED = "x509: "
_LINE_BREAK = "invalid header field value"
"""Parts of messages of the HTTP client: of crypto/x509, and of net/http for a key that contains a line break."""

_NO_BUCKET = ("NoSuchBucket", "NotFound")
_OTHER_REGION = ("AuthorizationHeaderMalformed", "PermanentRedirect", "BucketRegionError", "IllegalLocationConstraint")
_WRONG_KEYS = ("InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied", "Forbidden", "NoCredentialProviders")


@dataclass(frozen=True)
class Bucket:
    """The bucket of a deployed registry.

    Args:
        name: its name.
        server: the server, in words.
        secret: name of the Secret with its keys; None if the pods have the cloud's identity.
    """

    name: str
    server: str
    secret: str | None


@asynccontextmanager
async def bucket_named(kube: KubeClient) -> AsyncIterator[None]:
    """Replace the error of a request that failed because of the bucket by one that says so.

    Args:
        kube: client of the registry's cluster.

    Raises:
        BucketError: the bucket cannot be used.
    """
    try:
        yield
    except RegistryError as error:
        if of_bucket := await bucket_error(kube, error.reason, answered=error.status is not None):
            raise of_bucket from error
        raise


async def bucket_error(kube: KubeClient, reason: str, *, answered: bool = True) -> BucketError | None:
    """Return the error for a registry that cannot use its bucket; None if the cause is not the bucket.

    Args:
        kube: client of the registry's cluster.
        reason: the registry's answer or a line of its log.
        answered: whether it has answered. It does so at once, except while it waits for the bucket.
    """
    detail = _DETAIL.search(reason)
    if detail is None and answered:
        return None
    bucket = await _bucket(kube)
    if detail is None and bucket == _UNKNOWN:
        return None
    code = detail["code"] if detail else _LATE
    words = _message(code, detail["message"] if detail else "")
    fix = _fix(kube.where, bucket.secret, code, words)
    return BucketError(where=kube.where, bucket=bucket.name, server=bucket.server, reason=words, fix=fix)


def _message(code: str, escaped: str) -> str:
    """Return the server's code and message without its request ids, or the HTTP client's message without its URL."""
    text = escaped.replace(r"\n", "\n").replace(r"\t", " ").replace(r"\"", '"')
    if code == _LATE:
        return "it does not respond in time"
    if code == _NO_ANSWER:
        return one_line(text.rpartition('": ')[2])
    first = one_line(text.partition("\n")[0]).rstrip(".")
    return f"{code}: {first}"


def _fix(where: Where, secret: str | None, code: str, words: str) -> str:
    if code in _WRONG_KEYS or _LINE_BREAK in words:
        return _fix_of_keys(where, secret)
    if _NOT_TRUSTED in words:
        return (
            "give the server a certificate of a public authority, or set its URL with http:// by `pulumi config set "
            "--path s3.endpoint URL`, then `pulumi up`"
        )
    log = f"`{where.kubectl} --namespace {where.namespace} logs deployment/{REGISTRY} --container write`"
    return next((fix for codes, fix in _FIXES.items() if code in codes), f"read the registry's log with {log}")


_FIXES = {
    _NO_BUCKET: (
        "create the bucket, or correct its name with `pulumi config set --path s3.bucket NAME`, then `pulumi up`"
    ),
    (_NO_ANSWER, _LATE, _NO_S3): (
        "let the pods reach the server, or correct its URL with `pulumi config set --path s3.endpoint URL`, then "
        "`pulumi up`"
    ),
    _OTHER_REGION: "correct the region with `pulumi config set --path s3.region REGION`, then `pulumi up`",
}
"""Error codes -> what to do."""


def _fix_of_keys(where: Where, secret: str | None) -> str:
    """Return what to do if the server does not accept the keys, or the identity, of the pods."""
    if secret is None:
        return (
            f"give the service account {REGISTRY} an identity with access to the bucket, or set s3.secret, as "
            "docs/bucket.md describes, then `pulumi up`"
        )
    kubectl = f"{where.kubectl} --namespace {where.namespace}"
    restart = f"`{kubectl} rollout restart deployment/{REGISTRY}`"
    correct = f"`{kubectl} {set_key(secret, *BUCKET_KEYS)}`"
    return f"grant the keys access to the bucket, or correct them with {correct} and {restart}, then `pulumi up`"


_UNKNOWN = Bucket("of the setting s3", "its server", None)
"""What is printed without the permission to read the objects."""


async def _bucket(kube: KubeClient) -> Bucket:
    """Return the bucket that the registry's objects name."""
    with suppress(ClusterError, KeyError):
        config = await kube.get(kube.path("configmaps", REGISTRY))
        s3: dict[str, Any] = json.loads(config["data"]["write.yml"])["storage"]["s3"]
        server = s3.get("regionendpoint") or f"AWS in {s3['region']}"
        secret = None
        with suppress(ClusterError):
            secret = _secret(await kube.get(kube.path("deployments", REGISTRY, group="apps/v1")))
        return Bucket(str(s3["bucket"]), str(server), secret)
    return _UNKNOWN


def _secret(deployment: Object) -> str | None:
    """Return the name of the Secret that the pods read the keys of the bucket from."""
    containers = deployment["spec"]["template"]["spec"]["containers"]
    found = (each["valueFrom"]["secretKeyRef"]["name"] for each in containers[0]["env"] if each["name"] in BUCKET_KEYS)
    return next(found, None)
