"""Who uses an image: every object of a cluster that names it, wherever in the object and by whatever host."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from kube_registry.housekeeping.kinds import Unlisted
from kube_registry.housekeeping.manifests import Manifest
from kube_registry.housekeeping.references import names_of
from kube_registry.housekeeping.usage import Usage, Use, output_uses, read_usage
from kube_registry.kube import retries
from kube_registry.kube.client import open_client
from kube_registry.kube.errors import RefusedError
from kube_registry.names import labels
from lab import pki
from tests.fakes.fake_api import NAMESPACE, settings_for
from tests.fakes.fake_cluster import FakeCluster, helm_release, made, pod_spec, run_fake_cluster
from tests.housekeeping.stored import digest, image, storage

pytestmark = pytest.mark.anyio

OLD, NEW, CONFIG = digest("old"), digest("new"), digest("config")
CONTENT_TAG = "0123456789abcdef"
HOST = "localhost:30100"
PODS, CONFIG_MAPS = "/api/v1/pods", "/api/v1/configmaps"
DEPLOYMENTS, REPLICA_SETS = "/apis/apps/v1/deployments", "/apis/apps/v1/replicasets"
WORKFLOWS = "/apis/argoproj.io/v1alpha1/workflows"


@pytest.fixture
async def cluster() -> AsyncIterator[FakeCluster]:
    async with run_fake_cluster() as cluster:
        yield cluster


@pytest.fixture
def read(cluster: FakeCluster, authority: pki.Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Read":
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
    monkeypatch.setattr(retries, "PATIENCE_SECONDS", 0.1)
    return Read(cluster, authority, tmp_path)


class Read:
    """Reads the uses of a registry whose repository `team/app` has v1, latest, a content tag and odd tags."""

    def __init__(self, cluster: FakeCluster, authority: pki.Authority, folder: Path) -> None:
        self.settings = settings_for(cluster.server, authority, folder)

    async def __call__(self, *, helm: bool = False) -> Usage:
        new = Manifest(image("y").blobs, (), None, (), config=CONFIG)
        tags = {"v1": ("old", 9), "latest": ("new", 1), CONTENT_TAG: ("new", 1)}
        tags |= {"main-": ("old", 9), "v1-rc.": ("old", 9), "12": ("old", 9), "1.5": ("old", 9)}
        stored = storage({"old": image("x"), "new": new}, tags, "team/app")
        manifests = {("team/app", OLD): image("x"), ("team/app", NEW): new}
        async with open_client(self.settings) as kube:
            return await read_usage(kube, names_of(stored, manifests), helm=helm)

    async def users(self, *, helm: bool = False) -> dict[str, set[str]]:
        """Digest -> its users."""
        found: dict[str, set[str]] = {}
        for use in (await self(helm=helm)).uses:
            found.setdefault(str(use.digest), set()).add(use.user)
        return found


class TestReferences:
    @pytest.mark.parametrize(
        ("text", "used"),
        [
            (f"{HOST}/team/app:v1", OLD),
            ("127.0.0.1:30100/team/app:v1", OLD),
            ("[::1]:30100/team/app:v1", OLD),
            ("10.0.0.4:30100/team/app:v1", OLD),
            ("registry.kube-registry.svc:5001/team/app:v1", OLD),
            ("mirror.example/kube/team/app:v1", OLD),
            ("team/app:v1", OLD),
            (f"docker-pullable://{HOST}/team/app:v1", OLD),
            (f"--image={HOST}/team/app:v1", OLD),
            (f"first {HOST}/team/app:v1, then another", OLD),
            (f'{{"image":"{HOST}/team/app:v1"}}', OLD),
            (f"images:\n- {HOST}/team/app:v1\n", OLD),
            (f"It is {HOST}/team/app:v1.", OLD),
            (f"{HOST}/team/app@{OLD}", OLD),
            (f"{HOST}/team/app:latest@{OLD}", OLD),
            (f"elsewhere.example/other@{OLD}", OLD),
            (OLD, OLD),
            (f"sha256-{OLD[7:]}.sig", OLD),
            (CONFIG, NEW),  # by which containerd names what was loaded rather than pulled
            (f"{HOST}/team/app", NEW),
            (CONTENT_TAG, NEW),
            (f"tag: {CONTENT_TAG}\n", NEW),
            (f"{HOST}/team/app:v1@{digest('gone')}", OLD),
            (f"{HOST}/team/app:main-", OLD),  # `main-$SUFFIX` where SUFFIX is empty
            (f"{HOST}/team/app:v1-rc.", OLD),
            (f"It is {HOST}/team/app:v1-rc..", OLD),
        ],
    )
    async def test_an_image_is_known_by_whatever_names_it(
        self, cluster: FakeCluster, read: Read, text: str, used: str
    ) -> None:
        cluster.add(PODS, made("p", spec={"containers": [{"args": [text]}]}))
        assert await read.users() == {used: {"Pod default/p"}}

    @pytest.mark.parametrize(
        "text",
        [
            "nginx:1.29",
            f"{HOST}/app:v1",
            f"{HOST}/team/app:v2",
            f"{HOST}/team/app-extra:v1",
            f"{HOST}/my-team/app:v1",
            "/usr/team/app",
            "v1",
            "latest",
            "team/app",
            CONTENT_TAG + "0",
            "x" + CONTENT_TAG,
            OLD[7:-1],
        ],
    )
    async def test_what_the_registry_does_not_have_is_no_use(self, cluster: FakeCluster, read: Read, text: str) -> None:
        cluster.add(PODS, made("p", spec={"containers": [{"args": [text]}]}))
        assert (await read()).uses == ()

    async def test_repository_and_tag_may_stand_apart(self, cluster: FakeCluster, read: Read) -> None:
        values = {"image": {"repository": f"{HOST}/team/app", "tag": "v1"}}
        cluster.add(WORKFLOWS, made("w", spec={"values": values}))
        assert (await read.users())[OLD] == {"Workflow default/w"}

    @pytest.mark.parametrize("tag", [12, 1.5])
    async def test_so_may_a_tag_that_yaml_takes_for_a_number(
        self, cluster: FakeCluster, read: Read, tag: float
    ) -> None:
        cluster.add(WORKFLOWS, made("w", spec={"repository": f"{HOST}/team/app", "tag": tag}))
        assert (await read.users())[OLD] == {"Workflow default/w"}

    async def test_so_may_a_tag_that_ends_like_no_word_does(self, cluster: FakeCluster, read: Read) -> None:
        cluster.add(WORKFLOWS, made("w", spec={"image": f"{HOST}/team/app", "tag": "main-"}))
        assert (await read.users())[OLD] == {"Workflow default/w"}

    @pytest.mark.parametrize("text", ["x/." * 300_000, "x/" * 300_000, "x" + "-" * 900_000])
    async def test_a_text_that_is_no_reference_is_read_at_once_however_long_it_is(
        self, cluster: FakeCluster, read: Read, text: str
    ) -> None:
        cluster.add(CONFIG_MAPS, made("c", data={"text": text}))
        async with asyncio.timeout(20):
            began = time.process_time()
            assert (await read()).uses == ()
            assert time.process_time() - began < 10


class TestObjects:
    @pytest.mark.parametrize(
        ("path", "kind", "content"),
        [
            (PODS, "Pod", {"spec": pod_spec(f"{HOST}/team/app:v1")}),
            (PODS, "Pod", {"spec": {"initContainers": [{"image": f"{HOST}/team/app:v1"}]}}),
            (PODS, "Pod", {"spec": {"volumes": [{"image": {"reference": f"{HOST}/team/app:v1"}}]}}),
            (PODS, "Pod", {"spec": {}, "status": {"containerStatuses": [{"imageID": f"{HOST}/team/app@{OLD}"}]}}),
            (
                DEPLOYMENTS,
                "Deployment",
                {"spec": pod_spec("other", env=[{"name": "RELATED_IMAGE", "value": f"{HOST}/team/app:v1@{OLD}"}])},
            ),
            (REPLICA_SETS, "ReplicaSet", {"spec": {"template": {"spec": pod_spec(f"{HOST}/team/app:v1")}}}),
            ("/apis/apps/v1/controllerrevisions", "ControllerRevision", {"data": pod_spec(f"{HOST}/team/app:v1")}),
            ("/apis/batch/v1/cronjobs", "CronJob", {"spec": {"jobTemplate": pod_spec(f"{HOST}/team/app:v1")}}),
            ("/api/v1/podtemplates", "PodTemplate", {"template": {"spec": pod_spec(f"{HOST}/team/app:v1")}}),
            (CONFIG_MAPS, "ConfigMap", {"data": {"job.yaml": f"kind: Job\nimage: '{HOST}/team/app:v1'\n"}}),
            (WORKFLOWS, "Workflow", {"spec": {"templates": [{"container": {"image": f"{HOST}/team/app:v1"}}]}}),
            (WORKFLOWS, "Workflow", {"spec": {"perImage": {f"{HOST}/team/app:v1": {"replicas": 1}}}}),
        ],
    )
    async def test_each_place_of_an_image_is_found(
        self, cluster: FakeCluster, read: Read, path: str, kind: str, content: dict[str, Any]
    ) -> None:
        cluster.add(path, made("it", **content))
        assert await read.users() == {OLD: {f"{kind} default/it"}}

    async def test_the_field_managers_of_an_object_are_none(self, cluster: FakeCluster, read: Read) -> None:
        managed = [{"fieldsV1": {"f:image": f"{HOST}/team/app:v1"}}]
        cluster.add(PODS, made("p", spec={}, metadata={"managedFields": managed}))
        assert (await read()).uses == ()

    async def test_nodes_and_events_which_name_everything_are_not_asked_for(
        self, cluster: FakeCluster, read: Read
    ) -> None:
        await read()
        asked = {path.rpartition("/")[2] for path in cluster.asked}
        assert not asked & {"nodes", "events", "secrets", "leases"}

    async def test_what_the_registry_keeps_for_itself_is_none(self, cluster: FakeCluster, read: Read) -> None:
        ours = made("preflight", data={"x": OLD}, namespace=NAMESPACE, metadata={"labels": labels("preflight")})
        cluster.add(CONFIG_MAPS, ours)
        assert (await read()).uses == ()

    async def test_every_page_is_read(self, cluster: FakeCluster, read: Read) -> None:
        cluster.add(PODS, *(made(f"p{number}", spec=pod_spec(f"{HOST}/team/app:v1")) for number in range(7)))
        assert await read.users() == {OLD: {f"Pod default/p{number}" for number in range(7)}}

    async def test_a_list_that_has_become_too_old_is_begun_again(self, cluster: FakeCluster, read: Read) -> None:
        cluster.add(PODS, *(made(f"p{number}", spec=pod_spec(f"{HOST}/team/app:v1")) for number in range(5)))
        cluster.expired.add(PODS)
        assert await read.users() == {OLD: {f"Pod default/p{number}" for number in range(5)}}


class TestUsers:
    async def test_the_user_of_a_pod_is_the_workload_that_a_person_knows(
        self, cluster: FakeCluster, read: Read
    ) -> None:
        cluster.add(DEPLOYMENTS, made("web", spec={}))
        cluster.add(REPLICA_SETS, made("web-1", owner="web", spec={}))
        cluster.add(PODS, made("web-1-x", owner="web-1", spec=pod_spec(f"{HOST}/team/app:v1", nodeName="n1")))
        assert (await read()).uses == (Use("team/app", None, OLD, "Deployment default/web", "n1"),)

    async def test_it_may_be_a_custom_resource(self, cluster: FakeCluster, read: Read) -> None:
        cluster.add(WORKFLOWS, made("flow", spec={}))
        cluster.add(PODS, made("flow-1", owner="flow", spec=pod_spec(f"{HOST}/team/app:v1")))
        assert await read.users() == {OLD: {"Workflow default/flow"}}

    async def test_an_owner_that_is_not_known_leaves_the_pod_itself(self, cluster: FakeCluster, read: Read) -> None:
        cluster.add(PODS, made("p", owner="gone", spec=pod_spec(f"{HOST}/team/app:v1")))
        assert await read.users() == {OLD: {"Pod default/p"}}

    async def test_objects_that_own_each_other_are_no_riddle(self, cluster: FakeCluster, read: Read) -> None:
        cluster.add(DEPLOYMENTS, made("a", owner="b", spec={}))
        cluster.add(REPLICA_SETS, made("b", owner="a", spec={}))
        cluster.add(PODS, made("p", owner="a", spec=pod_spec(f"{HOST}/team/app:v1")))
        assert set(await read.users()) == {OLD}


class TestHelm:
    TEXT = f"apiVersion: apps/v1\nimage: {HOST}/team/app:v1\n"

    async def test_its_secrets_are_read_only_if_asked_for(self, cluster: FakeCluster, read: Read) -> None:
        cluster.add("/api/v1/secrets", helm_release(self.TEXT, encoded=True))
        assert await read.users() == {}
        assert "/api/v1/secrets" not in cluster.asked
        assert await read.users(helm=True) == {OLD: {"Secret default/sh.helm.release.v1.web.v1"}}

    async def test_its_config_maps_are_read_with_all_others(self, cluster: FakeCluster, read: Read) -> None:
        cluster.add(CONFIG_MAPS, helm_release(self.TEXT, encoded=False))
        assert await read.users() == {OLD: {"ConfigMap default/sh.helm.release.v1.web.v1"}}

    async def test_one_that_helm_cannot_read_stops_nothing(self, cluster: FakeCluster, read: Read) -> None:
        broken = made("web", data={"release": "AAAA"}, metadata={"labels": {"owner": "helm"}})
        cluster.add("/api/v1/secrets", broken)
        assert await read.users(helm=True) == {}


class TestUnlisted:
    async def test_a_kind_that_may_not_be_listed_is_named(self, cluster: FakeCluster, read: Read) -> None:
        cluster.refusals |= {CONFIG_MAPS: 403, WORKFLOWS: 503, f"/api/v1/namespaces/{NAMESPACE}": 403}
        assert set((await read()).unlisted) == {
            Unlisted("configmaps", "forbidden"),
            Unlisted("workflows.argoproj.io", "status 503"),
            Unlisted(f"namespaces/{NAMESPACE}", "forbidden"),
        }

    async def test_so_is_a_group_that_does_not_say_what_it_has(self, cluster: FakeCluster, read: Read) -> None:
        cluster.refusals |= {"/apis/argoproj.io/v1alpha1": 503}
        assert (await read()).unlisted == (Unlisted("*.argoproj.io", "status 503"),)

    async def test_so_is_one_whose_api_breaks_off(self, cluster: FakeCluster, read: Read) -> None:
        cluster.broken.add(WORKFLOWS)
        assert (await read()).unlisted == (Unlisted("workflows.argoproj.io", "no answer"),)

    async def test_a_kind_whose_definition_was_removed_meanwhile_has_no_objects(
        self, cluster: FakeCluster, read: Read
    ) -> None:
        cluster.refusals |= {WORKFLOWS: 404}
        assert (await read()).unlisted == ()

    async def test_an_api_server_that_has_just_started_is_asked_again(
        self, cluster: FakeCluster, read: Read, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(retries, "PATIENCE_SECONDS", 15.0)
        cluster.starting, cluster.restarts = 2, 1
        cluster.add(WORKFLOWS, made("w", spec={"image": f"{HOST}/team/app:v1"}))
        assert await read.users() == {OLD: {"Workflow default/w"}}

    async def test_one_that_does_not_get_ready_is_an_error(self, cluster: FakeCluster, read: Read) -> None:
        cluster.starting = 1000
        with pytest.raises(RefusedError):
            await read()

    @pytest.mark.parametrize("status", [403, 404])
    async def test_one_that_does_not_say_whether_it_is_ready_is_taken_as_it_is(
        self, cluster: FakeCluster, read: Read, status: int
    ) -> None:
        cluster.refusals |= {"/readyz": status}
        cluster.add(WORKFLOWS, made("w", spec={"image": f"{HOST}/team/app:v1"}))
        assert await read.users() == {OLD: {"Workflow default/w"}}

    async def test_a_kind_of_an_older_version_alone_is_read_too(self, cluster: FakeCluster, read: Read) -> None:
        cluster.groups = {"acme.example": {"v1": {"a": "A"}, "v1beta1": {"a": "A", "b": "B"}}}
        cluster.add("/apis/acme.example/v1beta1/b", made("it", spec=f"{HOST}/team/app:v1"))
        assert await read.users() == {OLD: {"B default/it"}}
        assert "/apis/acme.example/v1beta1/a" not in cluster.asked

    async def test_without_the_workloads_nothing_is_known(self, cluster: FakeCluster, read: Read) -> None:
        cluster.refusals |= {PODS: 403}
        with pytest.raises(RefusedError):
            await read()


class TestProtections:
    async def test_an_annotation_protects(self, cluster: FakeCluster, read: Read) -> None:
        cluster.annotations = {"kube-registry/protect": "base:*, tools"}
        annotated = {"annotations": {"kube-registry/protect": "extra"}}
        cluster.add(WORKFLOWS, made("w", metadata=annotated))
        found = (await read()).protections
        assert {each.title for each in found} == {
            f"kube-registry/protect of Namespace {NAMESPACE}: base:*",
            f"kube-registry/protect of Namespace {NAMESPACE}: tools",
            "kube-registry/protect of Workflow default/w: extra",
        }


def test_an_output_is_a_use_by_digest() -> None:
    assert output_uses("dev", {"app": f"{HOST}/app:v1@{OLD}"}) == [Use("app", "v1", OLD, "output of dev", None)]
