"""What a bucket that cannot be used is reported as: from the real server's words, as distribution passes them on."""

import json
from pathlib import Path
from typing import Any

import pytest

from components.door_config import config_files
from components.registry_pod import deployment_spec
from kube_registry.registry.api import open_registry
from kube_registry.registry.bucket import bucket_named
from kube_registry.registry.errors import BucketError, NotReadyError, RegistryError
from kube_registry.registry.volume import prove_writable
from kube_registry.spec.settings import RegistrySettings
from tests.fakes.connecting import settings
from tests.registry.test_volume import Objects, refusing

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(30)]

CONFIG = "/api/v1/namespaces/kube-registry/configmaps/registry"
DEPLOYMENT = "/apis/apps/v1/namespaces/kube-registry/deployments/registry"
IDS = "\n\tstatus code: 403, request id: 18ECD5BE0A573A4CC9534885, host id: "
NO_BUCKET = f"s3aws: NoSuchBucket: The specified bucket does not exist{IDS}"
WRONG_KEY = f"s3aws: InvalidAccessKeyId: The access key ID you provided does not exist in our records.{IDS}"
NO_KEYS = (
    "s3aws: NoCredentialProviders: no valid providers in chain. Deprecated.\n\tFor verbose messaging see "
    "aws.Config.CredentialsChainVerboseErrors"
)
NO_ANSWER = (
    's3aws: RequestError: send request failed\ncaused by: Put "http://s3.example:9000/images/docker/registry/v2/'
    'startedat": dial tcp 127.0.0.1:1: connect: connection refused'
)


def objects(**s3: object) -> Objects:
    config = {"kubeContext": "c", "pushPort": 21000, "s3": {"bucket": "images", "region": "eu-central-1", **s3}}
    made = RegistrySettings.parse(config, project="p", stack="")
    return {CONFIG: {"data": config_files(made)}, DEPLOYMENT: {"spec": deployment_spec(made)}}


async def refusal(tmp_path: Path, detail: str, there: Objects) -> BucketError:
    async with refusing(tmp_path, detail, there) as (kube, door):
        with pytest.raises(BucketError) as raised:
            await prove_writable(kube, door)
    assert "\n" not in str(raised.value)
    return raised.value


async def test_a_bucket_that_does_not_exist(tmp_path: Path) -> None:
    error = await refusal(tmp_path, NO_BUCKET, objects(endpoint="http://s3.example:9000"))
    assert (error.bucket, error.server) == ("images", "http://s3.example:9000")
    assert error.reason == "NoSuchBucket: The specified bucket does not exist"
    assert "`pulumi config set --path s3.bucket NAME`" in error.fix


async def test_wrong_keys_are_set_in_their_secret(tmp_path: Path) -> None:
    error = await refusal(tmp_path, WRONG_KEY, objects(secret="keys-of-s3"))  # noqa: S106 - the name of one
    assert error.server == "AWS in eu-central-1"
    assert error.reason == "InvalidAccessKeyId: The access key ID you provided does not exist in our records"
    assert 'patch secret keys-of-s3 --patch \'{"stringData": {"AWS_ACCESS_KEY_ID": "VALUE"' in error.fix
    assert "rollout restart deployment/registry`" in error.fix


async def test_without_keys_the_service_account_lacks_an_identity(tmp_path: Path) -> None:
    error = await refusal(tmp_path, NO_KEYS, objects())
    assert error.reason == "NoCredentialProviders: no valid providers in chain. Deprecated"
    assert error.fix.startswith("give the service account registry an identity")


async def test_a_server_that_does_not_answer(tmp_path: Path) -> None:
    error = await refusal(tmp_path, NO_ANSWER, objects(endpoint="http://s3.example:9000"))
    assert error.reason == "dial tcp 127.0.0.1:1: connect: connection refused"
    assert "`pulumi config set --path s3.endpoint URL`" in error.fix


async def test_a_server_that_is_no_s3_server(tmp_path: Path) -> None:
    detail = "s3aws: SerializationError: failed to unmarshal error message\n\tstatus code: 404, request id: , host id: "
    error = await refusal(tmp_path, detail, objects(endpoint="http://s3.example:9000"))
    assert error.reason == "SerializationError: failed to unmarshal error message"
    assert "`pulumi config set --path s3.endpoint URL`" in error.fix


async def test_a_certificate_that_the_pods_do_not_trust(tmp_path: Path) -> None:
    detail = NO_ANSWER.rpartition("dial tcp")[0] + "tls: failed to verify certificate: x509: certificate signed by X"
    error = await refusal(tmp_path, detail, objects(endpoint="https://s3.example:9000"))
    assert error.reason == "tls: failed to verify certificate: x509: certificate signed by X"
    assert error.fix.startswith("give the server a certificate of a public authority, or set its URL with http://")


async def test_a_key_with_a_line_break_is_set_in_its_secret(tmp_path: Path) -> None:
    detail = NO_ANSWER.rpartition("dial tcp")[0] + 'net/http: invalid header field value for "Authorization"'
    error = await refusal(tmp_path, detail, objects(secret="keys-of-s3"))  # noqa: S106 - the name of one
    assert error.reason == 'net/http: invalid header field value for "Authorization"'
    assert "patch secret keys-of-s3" in error.fix


async def test_a_read_that_fails_names_the_bucket(tmp_path: Path) -> None:
    async with refusing(tmp_path, NO_BUCKET, objects()) as (kube, door), open_registry(door, kube.where) as registry:
        with pytest.raises(BucketError, match="NoSuchBucket: The specified bucket does not exist"):
            async with bucket_named(kube):
                await registry.repositories()


async def test_what_may_not_be_read_is_left_out(tmp_path: Path) -> None:
    error = await refusal(tmp_path, NO_BUCKET, {})
    assert "cannot use bucket of the setting s3 of its server, so" in str(error)
    assert (await refusal(tmp_path, WRONG_KEY, {CONFIG: objects()[CONFIG]})).fix.startswith("give the service account")


async def test_what_is_not_the_buckets_fault_is_not_laid_to_it(tmp_path: Path) -> None:
    async with refusing(tmp_path, "something else: s3", objects()) as (kube, door):
        with pytest.raises(RegistryError):
            await prove_writable(kube, door)


@pytest.mark.parametrize(
    ("reason", "command"),
    [
        (
            'container read of pod registry-1: CreateContainerConfigError: secret "keys-of-s3" not found',
            "create secret generic keys-of-s3 --from-literal=AWS_ACCESS_KEY_ID=VALUE",
        ),
        (
            "container read: CreateContainerConfigError: couldn't find key AWS_ACCESS_KEY_ID in Secret x/keys-of-s3",
            'patch secret keys-of-s3 --patch \'{"stringData": {"AWS_ACCESS_KEY_ID": "VALUE"}}\'`',
        ),
        (
            "container read of pod registry-1: CrashLoopBackOff: panic: invalid region provided: nowhere",
            "`pulumi config --stack dev set --path s3.region REGION`",
        ),
    ],
)
def test_a_pod_that_cannot_start_has_a_command(tmp_path: Path, reason: str, command: str) -> None:
    where = settings(tmp_path / "config").where
    error = NotReadyError(where=where, seconds=9, reason=reason)
    assert command.replace("config --stack dev set", "config set") in str(error).replace(" --stack dev", "")


def test_the_configuration_has_no_keys() -> None:
    there: dict[str, Any] = objects(secret="keys-of-s3")  # noqa: S106 - the name of one
    assert "keys-of-s3" not in json.dumps(there[CONFIG])
