"""The commands that errors print: for which stack, which cluster and with which kubeconfig."""

import pytest

from stack.errors import Where, on_stack, other_port
from stack.names import IN_CLUSTER


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
