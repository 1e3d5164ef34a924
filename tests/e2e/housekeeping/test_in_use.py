"""What keeps an image on a real cluster: whatever names it, a subject that is in use, and what a person protects."""

import asyncio
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from kube_registry.concurrency import poll
from kube_registry.housekeeping.inventory import read_contents
from kube_registry.housekeeping.references import names_of
from kube_registry.housekeeping.usage import Usage, read_usage
from kube_registry.kube.client import open_client
from kube_registry.kube.errors import RefusedError, UnreachableError
from kube_registry.registry.door import open_door
from kube_registry.spec.endpoints import parse_reference
from kube_registry.spec.settings import Settings
from lab import cluster
from tests.conftest import CLUSTER
from tests.e2e.commands import commands_of, paste
from tests.e2e.conftest import Lab, Program
from tests.e2e.housekeeping.test_gc import listed, push
from tests.fakes.fake_cluster import helm_release

pytestmark = pytest.mark.lab


def stored_tag(settings: Settings, repository: str, tag: str) -> str | None:
    """Digest of what a tag names, if it is there."""

    async def ask() -> str | None:
        async with open_client(settings) as kube, open_door(kube, None) as registry:
            return await registry.tagged(repository, tag)

    return asyncio.run(ask())


async def first_usage(settings: Settings) -> Usage:
    """The first answer about who uses what that an API server gives after it was stopped and started."""
    async with open_client(settings) as kube:
        seen = await read_contents(kube)
        names = names_of(seen.storage, seen.manifests)

        async def ask() -> Usage | None:
            try:
                return await read_usage(kube, names)
            except (RefusedError, UnreachableError):
                return None

        await asyncio.to_thread(cluster.restart, CLUSTER, "control-plane", "kube-apiserver")
        found = await poll(ask, seconds=120, pause=0.02)
        assert found
        return found


HOST = "localhost:30100"
NOWHERE = {"nodeSelector": {"there-is": "none"}}
"""Of a pod that is never started, so that nothing but its spec names an image."""


def pod(image: str) -> dict[str, Any]:
    """A pod's spec, or that of its template."""
    return {"containers": [{"name": "one", "image": image}], **NOWHERE}


def deployment(**container: object) -> dict[str, Any]:
    labels = {"app": "operator"}
    template = {
        "metadata": {"labels": labels},
        "spec": {"containers": [{"name": "one", "image": "operator:none", **container}], **NOWHERE},
    }
    return {"spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}}


def naming(repository: str, digest: str) -> dict[str, tuple[str, str, dict[str, Any]]]:
    """Ways in which a cluster names the image v1 of a repository: apiVersion, kind and the rest of an object each."""
    tagged = f"/{repository}:v1"
    pinned = f"{HOST}{tagged}@{digest}"
    rendered = json.dumps({"kind": "Job", "image": HOST + tagged}, indent=1)
    return {
        "ipv6": ("v1", "Pod", {"spec": pod(f"[::1]:30100{tagged}@{digest}")}),
        "node": ("v1", "Pod", {"spec": pod(f"10.0.0.4:30100{tagged}")}),
        "service": ("v1", "Pod", {"spec": pod(f"registry.kube-registry.svc:5001{tagged}")}),
        "env": (
            "apps/v1",
            "Deployment",
            deployment(env=[{"name": "RELATED_IMAGE", "value": pinned}]),
        ),
        "args": ("apps/v1", "Deployment", deployment(args=[f"--image={HOST}{tagged}"])),
        "template": ("v1", "PodTemplate", {"template": {"spec": pod(HOST + tagged)}}),
        "text": ("v1", "ConfigMap", {"data": {"job.json": rendered}}),
        "custom": ("acme.example/v1", "CronWorkflow", {"spec": {"workflow": {"image": HOST + tagged}}}),
        "split": ("acme.example/v1", "CronWorkflow", {"spec": {"repository": f"{HOST}/{repository}", "tag": "v1"}}),
    }


@pytest.fixture(scope="class")
def custom_resources(lab: Lab) -> Iterator[None]:
    """A custom resource whose definition says nothing of its contents."""
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "cronworkflows.acme.example"},
        "spec": {
            "group": "acme.example",
            "scope": "Namespaced",
            "names": {"plural": "cronworkflows", "kind": "CronWorkflow"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        },
    }
    lab.kubectl("apply", "--filename=-", given=json.dumps(definition))
    lab.kubectl("wait", "crd/cronworkflows.acme.example", "--for=condition=Established", "--timeout=20s")
    yield
    lab.kubectl("delete", "crd", "cronworkflows.acme.example")


@contextmanager
def applied(lab: Lab, objects: Iterable[dict[str, Any]]) -> Iterator[None]:
    given = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
    lab.kubectl("apply", "--filename=-", given=given)
    try:
        yield
    finally:
        lab.kubectl("delete", "--filename=-", "--grace-period=0", "--force", given=given)


def two_of(settings: Settings, *repositories: str) -> dict[str, str]:
    """Two images in each repository, of which `gc --keep 1` keeps the newer; repository -> digest of the older."""
    old = {repository: push(settings, repository, "v1", os.urandom(64)) for repository in repositories}
    for repository in repositories:
        push(settings, repository, "v2", os.urandom(64))
    return old


@pytest.mark.usefixtures("custom_resources")
class TestInUse:
    def test_whatever_names_an_image_keeps_it(self, lab: Lab, deployed: Program, settings: Settings) -> None:
        ways = list(naming("x", ""))
        old = two_of(settings, "ways/none", *(f"ways/{way}" for way in ways))
        objects = []
        for way in ways:
            version, kind, rest = naming(f"ways/{way}", old[f"ways/{way}"])[way]
            objects.append({"apiVersion": version, "kind": kind, "metadata": {"name": f"by-{way}"}, **rest})
        with applied(lab, objects):
            assert deployed.registryctl("gc", "--keep", "1", "--yes").returncode == 0
        left = listed(deployed)
        assert {way for way in ways if f"ways/{way}:v1" not in left} == set()
        assert "ways/none:v1" not in left

    def test_signatures_of_another_repository_stay_and_go_with_their_subjects(
        self, deployed: Program, settings: Settings
    ) -> None:
        app = parse_reference(deployed.output("images")["app"])
        old = two_of(settings, "signed")["signed"]
        signatures = {digest: digest.replace(":", "-") + ".sig" for digest in (str(app.digest), old)}
        for tag in signatures.values():
            push(settings, "signatures", tag, os.urandom(64))
        push(settings, "signatures", "newest", os.urandom(64))
        assert deployed.registryctl("gc", "--keep", "1", "--yes").returncode == 0
        assert stored_tag(settings, "signatures", signatures[str(app.digest)])
        assert not stored_tag(settings, "signatures", signatures[old])

    def test_what_no_cluster_knows_can_be_protected(self, lab: Lab, deployed: Program, settings: Settings) -> None:
        two_of(settings, "kept/option", "kept/namespace", "kept/object", "kept/not")
        annotated = {"metadata": {"annotations": {"kube-registry/protect": "kept/object"}}}
        lab.kubectl("annotate", "namespace", "kube-registry", f"kube-registry/protect=other:*,{HOST}/kept/namespace:v1")
        try:
            metadata = {"name": "protects", **annotated["metadata"]}
            with applied(lab, [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}]):
                words = ("--protect", f"{HOST}/kept/opt*:v1,misspelt")
                done = deployed.registryctl("gc", "--keep", "1", "--yes", *words)
        finally:
            lab.kubectl("annotate", "namespace", "kube-registry", "kube-registry/protect-")
        assert done.returncode == 0, done.stdout + done.stderr
        assert [line for line in done.stdout.splitlines() if line.endswith("matches no image")] == [
            "--protect misspelt matches no image",
            "kube-registry/protect of Namespace kube-registry: other:* matches no image",
        ]
        left = listed(deployed)
        assert [f"kept/{what}:v1" in left for what in ("option", "namespace", "object", "not")] == [True] * 3 + [False]

    def test_a_release_of_helm_is_a_use_if_it_is_asked_for(
        self, lab: Lab, deployed: Program, settings: Settings
    ) -> None:
        two_of(settings, "charted")
        release = helm_release(f"image: {HOST}/charted:v1\n", encoded=True)
        del release["metadata"]["uid"], release["metadata"]["ownerReferences"]
        secret = {"apiVersion": "v1", "kind": "Secret", "type": "helm.sh/release.v1", **release}
        with applied(lab, [secret]):
            assert "charted:v1" not in deployed.registryctl("gc", "--keep", "1", "--helm", "--dry-run").stdout
            assert "charted:v1" in deployed.registryctl("gc", "--keep", "1", "--dry-run").stdout

    def test_an_api_server_that_has_just_started_hides_no_custom_resource(self, lab: Lab, settings: Settings) -> None:
        old = two_of(settings, "restarted")["restarted"]
        spec = {"spec": {"image": f"{HOST}/restarted:v1"}}
        flow = {"apiVersion": "acme.example/v1", "kind": "CronWorkflow", "metadata": {"name": "flow"}, **spec}
        with applied(lab, [flow]):
            usage = asyncio.run(first_usage(settings))
        assert [use.user for use in usage.uses if use.digest == old] == ["CronWorkflow default/flow"]

    def test_an_api_that_does_not_answer_stops_what_nobody_watches(
        self, lab: Lab, deployed: Program, settings: Settings
    ) -> None:
        two_of(settings, "silent")
        service = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "silent"},
            "spec": {"ports": [{"port": 443}]},
        }
        api = {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": "v1.silent.example"},
            "spec": {
                "group": "silent.example",
                "version": "v1",
                "groupPriorityMinimum": 10,
                "versionPriority": 10,
                "insecureSkipTLSVerify": True,
                "service": {"name": "silent", "namespace": "default"},
            },
        }
        with applied(lab, [service, api]):
            done = deployed.registryctl("gc", "--keep", "1", "--yes")
            asked = deployed.registryctl("gc", "--keep", "1", given="n\n")
            shown, collects = commands_of(done.stderr)
            env = deployed.stack.workspace.env_vars
            assert "v1.silent.example" in paste(shown, deployed.folder, env)
        assert done.returncode == 1
        assert "*.silent.example (status 503)" in done.stderr
        assert "*.silent.example" in asked.stdout
        assert "Remove them" in asked.stderr
        assert "silent:v1" in listed(deployed)
        paste(f"yes | {collects}", deployed.folder, env)
