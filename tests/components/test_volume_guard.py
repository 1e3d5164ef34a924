"""Two previews of the whole program, one after the other; the monitor ignores changes as the engine does."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pulumi
import pytest
from google.protobuf.struct_pb2 import Struct

from tests.components.test_program import CONFIG, WITH_PROXY, WITH_S3, Monitor, Registered, described

CLAIM = "PersistentVolumeClaim"
PLAIN = {
    **WITH_PROXY,
    "kube-registry:claim": '{"storageClass": "standard"}',
    "kube-registry:localRegistryHosting": "true",
}


class Keeping(Monitor):
    """Gives a resource the inputs of the run before, where their changes are to be ignored."""

    def __init__(self, record: Registered, before: Registered) -> None:
        super().__init__(record)
        self.before = {(each.type, each.name): each.object for each in before.requests}

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802, ANN401 - the name and shape of a gRPC method
        if kept := self.before.get((request.type, request.name)):
            for path in request.ignoreChanges:
                reset(request.object, kept, path.split("."))
        return super().RegisterResource(request)


def reset(inputs: Struct, kept: Struct, path: list[str]) -> None:
    """Set the value at a path to what it was, or remove it where there was none (resource.PropertyPath.Reset)."""
    *parents, last = path
    for key in parents:
        inputs, kept = inputs.fields[key].struct_value, kept.fields[key].struct_value
    if last in kept.fields:
        inputs.fields[last].CopyFrom(kept.fields[last])
    elif last in inputs.fields:
        del inputs.fields[last]


def first_run(config: dict[str, str]) -> Registered:
    record = Registered()
    with described(Monitor(record), config):
        return record


def inputs(record: Registered) -> dict[tuple[str, str], Any]:
    """Type and name -> inputs, of all but the provider of the cluster."""
    provider = "pulumi:providers:kubernetes"
    return {(each.type, each.name): each.object for each in record.requests if each.type != provider}


@pytest.mark.parametrize(
    ("key", "wanted", "before"), [("claim.storageClass", "fast", "standard"), ("namespace", "other", "kube-registry")]
)
def test_what_would_replace_the_volume_is_refused_before_anything_else_is_registered(
    key: str, wanted: str, before: str
) -> None:
    section, _, field = key.partition(".")
    changed = {f"kube-registry:{section}": json.dumps({field: wanted}) if field else wanted}
    then, now = first_run(PLAIN), Registered()
    with (
        pytest.raises(pulumi.RunError) as refused,
        described(Keeping(now, then), {**PLAIN, **changed}),
    ):
        pass
    for part in (f"setting {key}", wanted, before, f"`pulumi config --stack dev set --path {key} {before}`"):
        assert part in str(refused.value)
    assert {each.type.rpartition(":")[2] for each in now.requests} <= {
        "Stack",
        "Stash",
        "kubernetes",
        "docker",
        "ClusterRegistry",
        "NodeProxy",
        "RegistryImage",
        "Namespace",
        CLAIM,
    }
    assert not [name for name, given in inputs(now).items() if inputs(then)[name] != given]


def test_a_class_that_is_no_longer_set_leaves_the_volume_alone() -> None:
    then, now = first_run(PLAIN), Registered()
    with described(Keeping(now, then), {key: value for key, value in PLAIN.items() if "claim" not in key}):
        assert inputs(now) == inputs(then)


def test_what_an_imported_or_older_claim_has_stays() -> None:
    """An import writes the name of its volume into the state; the program sets neither name nor another access mode."""
    then, now = first_run(PLAIN), Registered()
    (claim,) = (each.object for each in then.requests if each.type.endswith(f":{CLAIM}"))
    spec = claim.fields["spec"].struct_value
    spec.update({"accessModes": ["ReadWriteMany"], "volumeName": "pv-1"})
    with described(Keeping(now, then), PLAIN):
        assert inputs(now) == inputs(then)


def test_a_renamed_kube_context_changes_nothing_but_what_the_provider_connects_with() -> None:
    then, now = first_run(CONFIG), Registered()
    with described(Keeping(now, then), {**CONFIG, "kube-registry:kubeContext": "renamed"}):
        (provider,) = now.of_type("pulumi:providers:kubernetes")
        assert (provider["context"], provider["clusterIdentifier"]) == ("renamed", "nowhere")
        assert inputs(now) == inputs(then)


@contextmanager
def cluster(file: Path, uid: str | None, claim: dict[str, Any] | None = None) -> Iterator[None]:
    """An API server that a kubeconfig leads to; it forbids to see kube-system if that has no uid."""
    there: dict[str, Any] = {"/api/v1/namespaces/kube-system": {"metadata": {"uid": uid}}} if uid else {}
    there |= {"/api/v1/namespaces/kube-registry/persistentvolumeclaims/registry": claim} if claim else {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path in there
            body = json.dumps(there.get(self.path, {"kind": "Status", "message": "no"})).encode()
            self.send_response(200 if found else 403)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Be silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        kubeconfig = {
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
            "users": [{"name": "u", "user": {}}],
            "contexts": [{"name": "nowhere", "context": {"cluster": "c", "user": "u"}}],
        }
        file.write_text(json.dumps(kubeconfig))
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def two_runs(folder: Path, first: str | None, second: str | None) -> None:
    file = folder / "kubeconfig"
    config = {**CONFIG, "kube-registry:kubeconfig": str(file)}
    with cluster(file, first):
        before = first_run(config)
    with cluster(file, second), described(Keeping(Registered(), before), config):
        pass


@pytest.mark.parametrize(("first", "second"), [("a", "a"), ("a", None), (None, "a")])
def test_the_same_cluster_and_one_that_is_not_known_are_no_difference(
    tmp_path: Path, first: str | None, second: str | None
) -> None:
    two_runs(tmp_path, first, second)


def test_a_stack_that_does_not_know_its_cluster_says_so_once_it_could(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", lambda line, *_: said.append(line))
    two_runs(tmp_path, None, None)
    assert said == []
    two_runs(tmp_path, None, "a")
    (line,) = said
    assert "`pulumi up --stack dev --run-program --replace '" in line
    assert "Stash::cluster-uid'`" in line


def test_another_cluster_is_refused(tmp_path: Path) -> None:
    with pytest.raises(pulumi.RunError) as refused:
        two_runs(tmp_path, "uid-a", "uid-b")
    for part in ("uid-a", "uid-b", "kube context 'nowhere'", "Stash::cluster-uid"):
        assert part in str(refused.value)


@pytest.mark.parametrize(("annotations", "is_lost"), [({}, True), ({"kube-registry/retained": "true"}, False)])
def test_a_bucket_instead_of_a_volume_is_refused_while_the_volume_would_be_deleted(
    tmp_path: Path,
    annotations: dict[str, str],
    is_lost: bool,  # noqa: FBT001
) -> None:
    file, record = tmp_path / "kubeconfig", Registered()
    refusal = pytest.raises(pulumi.RunError) if is_lost else nullcontext()
    config = {**WITH_S3, "kube-registry:kubeconfig": str(file)}
    claim = {"metadata": {"annotations": annotations}}
    with cluster(file, "a", claim), refusal as refused, described(Monitor(record), config):
        assert record.of_type("Deployment")
    if refused:
        assert "setting s3: the update would delete the registry's volume in namespace kube-registry" in str(
            refused.value
        )
        assert "`pulumi config --stack dev set retain true`" in str(refused.value)
        assert not record.of_type("Deployment")
