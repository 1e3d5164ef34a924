"""The commands that errors print: for which stack, which cluster and with which kubeconfig."""

import re
from dataclasses import replace

import pytest

from kube_registry.errors import HERE, Where, on_stack, other_port
from kube_registry.generate import ROOT
from kube_registry.names import IN_CLUSTER
from kube_registry.registry.errors import NotReadyError
from kube_registry.tunnel.errors import TunnelError


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("`pulumi config set a 1`", "`pulumi config --stack 'my org/dev' set a 1`"),
        (
            "`pulumi config get a | pulumi config set b`",
            "`pulumi config --stack 'my org/dev' get a | pulumi config --stack 'my org/dev' set b`",
        ),
        ("run `pulumi up` again", "run `pulumi up --stack 'my org/dev'` again"),
        ("`pulumi config --json --stack other`", "`pulumi config --json --stack other`"),
        (
            "in use by pulumi up of ada@laptop; `pulumi stack ls`",
            "in use by pulumi up of ada@laptop; `pulumi stack ls`",
        ),
    ],
)
def test_commands_name_the_stack_and_prose_does_not(text: str, named: str) -> None:
    assert on_stack(text, "my org/dev") == named
    assert on_stack(text, None) == text


@pytest.mark.parametrize(
    ("kube_context", "kubeconfig", "kubectl"),
    [
        ("prod", None, "kubectl --context prod"),
        ("arn:aws/prod", "/my config", "kubectl --kubeconfig '/my config' --context arn:aws/prod"),
        ("prod", "apiVersion: v1\nkind: Config\n", "kubectl --kubeconfig FILE --context prod"),
        (IN_CLUSTER, None, "kubectl"),
    ],
)
def test_kubectl_gets_the_same_credentials(kube_context: str, kubeconfig: str | None, kubectl: str) -> None:
    where = Where("https://10.0.0.1", kube_context, "kube-registry", kubeconfig)
    assert where.kubectl == kubectl
    assert "apiVersion" not in repr(where)


def test_another_port_is_one() -> None:
    assert (other_port(21000), other_port(65535)) == (21001, 65534)


@pytest.mark.parametrize(
    ("reason", "fix"),
    [
        ("its Deployment is scaled to 0", "`pulumi up --stack dev --refresh`"),
        ('one of its objects was deleted: deployments.apps "registry" not found', "`pulumi up --stack dev --refresh`"),
        (
            "pod registry-1 is not scheduled: 0/2 nodes are available: 2 node(s) had untolerated taint(s).",
            "`pulumi config --stack dev set --path 'pod.tolerations[0].operator' Exists`",
        ),
        (
            "pod registry-1 is not scheduled: 0/2 nodes are available: 2 didn't match Pod's node affinity/selector.",
            "`kubectl --context my-context get nodes --show-labels`",
        ),
        (
            "pod registry-1 is not scheduled: 0/2 nodes are available: 2 Insufficient memory.",
            "`kubectl --context my-context describe nodes` shows the free resources",
        ),
        (
            "pod registry-1 is not scheduled: 0/2 nodes are available: 2 Too many pods.",
            "`kubectl --context my-context describe nodes` shows the free resources",
        ),
        ("its claim registry has no volume", "correct that, then `pulumi up --stack dev`"),
    ],
)
def test_a_registry_that_is_not_ready_has_the_command_for_its_reason(reason: str, fix: str) -> None:
    sentence = str(NotReadyError(where=HERE, seconds=1, reason=reason))
    assert fix in sentence.partition(". Fix: ")[2]
    assert sentence.endswith(("`pulumi up --stack dev`", "`pulumi up --stack dev --refresh`"))


@pytest.mark.parametrize(
    ("stack", "command"),
    [
        ("my dev", "`.venv/bin/python -m registryctl doctor --stack 'my dev'`"),
        (None, "`kubectl --context my-context --namespace kube-registry describe deployment registry`"),
    ],
)
def test_a_tunnel_that_fails_says_what_shows_the_cause(stack: str | None, command: str) -> None:
    error = TunnelError(where=replace(HERE, stack=stack), push_port=21000, reason="it has no pod yet")
    assert command in str(error).partition(". Fix: ")[2]


def test_only_one_function_appends_a_fix_to_a_message() -> None:
    files = [file for folder in ("components", "kube_registry") for file in (ROOT / folder).rglob("*.py")]
    assert [file.name for file in files if re.search(r"[.;] Fix: ", file.read_text())] == ["text.py"]
