"""Kubeconfigs that are no good, and what the API server's refusals mean; none of it needs a cluster."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kube_registry.errors import ClusterError, Where
from kube_registry.kube.errors import (
    CredentialPluginError,
    CredentialsError,
    ForbiddenError,
    KubeconfigError,
    RefusedError,
    UnreachableError,
)
from kube_registry.kube.translate import refusal
from kube_registry.registry.preconditions import prove_reach
from kube_registry.spec.settings import Settings

WHERE = Where(cluster="https://10.0.0.1", kube_context="here", namespace="kube-registry")


def kubeconfig() -> dict[str, Any]:
    return {
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
    }


def settings(file: Path | str, kube_context: str = "here") -> Settings:
    config = {"kubeContext": kube_context, "kubeconfig": str(file), "images": {"app": {}}}
    return Settings.parse(config, project="kube-registry", stack="dev")


def failure(chosen: Settings) -> ClusterError:
    with pytest.raises(ClusterError) as raised:
        asyncio.run(prove_reach(chosen))
    assert "\n" not in str(raised.value)
    assert f"kube context {chosen.kube_context!r}" in str(raised.value)
    return raised.value


def with_exec_plugin(config: dict[str, Any]) -> None:
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": "no-such-plugin", "args": []}
    config["users"][0]["user"] = {"exec": plugin}


class TestKubeconfig:
    @pytest.mark.usefixtures("no_patience")
    @pytest.mark.parametrize(
        ("damage", "kind", "words"),
        [
            (lambda _: None, UnreachableError, "is not responding: Cannot connect to host 127.0.0.1:1"),
            (
                with_exec_plugin,
                CredentialPluginError,
                "its credential plugin no-such-plugin is missing. Fix: install the plugin",
            ),
            (lambda config: config.pop("contexts"), KubeconfigError, "it has no kube contexts. Fix: "),
            (lambda config: config.pop("clusters"), KubeconfigError, "cannot be used with kubeconfig"),
            (
                lambda config: config["clusters"][0]["cluster"].update({"certificate-authority": "/nowhere/ca.crt"}),
                KubeconfigError,
                "/nowhere/ca.crt",
            ),
        ],
    )
    def test_each_way_of_being_wrong_is_one_sentence(
        self, tmp_path: Path, damage: Callable[[dict[str, Any]], object], kind: type[ClusterError], words: str
    ) -> None:
        config = kubeconfig()
        damage(config)
        file = tmp_path / "config"
        file.write_text(json.dumps(config))
        error = failure(settings(file))
        assert type(error) is kind
        assert words in str(error)

    def test_a_kube_context_that_it_does_not_have_is_answered_with_those_it_has(self, tmp_path: Path) -> None:
        file = tmp_path / "config"
        file.write_text(json.dumps(kubeconfig()))
        assert "it has no such kube context, only here. Fix: " in str(failure(settings(file, "there")))

    def test_a_file_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        assert f"{tmp_path}/none: there is no such file" in str(failure(settings(tmp_path / "none")))

    @pytest.mark.parametrize("text", ["", "- a list", "{unclosed", "just words"])
    def test_a_file_that_is_no_kubeconfig_is_no_traceback(self, tmp_path: Path, text: str) -> None:
        file = tmp_path / "config"
        file.write_text(text)
        assert type(failure(settings(file))) is KubeconfigError


class TestRefusal:
    def test_a_missing_right_names_verb_resource_and_namespace_and_the_role_that_grants_it(self) -> None:
        words = (
            'pods "registry-1" is forbidden: User "eve" cannot get resource "pods/portforward" in API group "" '
            'in the namespace "kube-registry"'
        )
        error = refusal(WHERE, "GET /", 403, words)
        assert isinstance(error, ForbiddenError)
        assert (error.user, error.verb, error.resource) == ("eve", "get", "pods/portforward")
        assert "does not let eve get pods/portforward in namespace kube-registry" in str(error)
        assert (
            "kubectl create role kube-registry-eve-get-pods-portforward --verb=get --resource=pods/portforward "
            in str(error)
        )
        assert "--user=eve --namespace=kube-registry`" in str(error)

    def test_a_missing_right_on_the_whole_cluster_asks_for_a_clusterrole(self) -> None:
        words = (
            'namespaces is forbidden: User "eve" cannot list resource "namespaces" in API group "" at the cluster scope'
        )
        sentence = str(refusal(WHERE, "GET /", 403, words))
        assert (
            "kubectl create clusterrole kube-registry-eve-list-namespaces --verb=list --resource=namespaces`"
            in sentence
        )

    def test_unknown_credentials_are_told_from_a_missing_right(self) -> None:
        assert type(refusal(WHERE, "GET /", 401, "Unauthorized")) is CredentialsError
        assert type(refusal(WHERE, "GET /", 403, "quota exceeded")) is RefusedError
