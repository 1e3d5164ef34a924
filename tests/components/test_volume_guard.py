"""Two runs of the whole program, one after the other, against a monitor that ignores changes as the engine does."""

import json
from typing import Any

import pulumi
import pytest
from google.protobuf.struct_pb2 import Struct

from tests.components.test_program import CONFIG, WITH_PROXY, Monitor, Registered, described

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
