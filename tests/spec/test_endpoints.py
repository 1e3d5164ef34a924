import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube_registry.spec.endpoints import PUSH_PORTS, Endpoints, Reference, derive_push_port, parse_reference

DIGEST = "sha256:" + "0123456789abcdef" * 4


class TestEndpoints:
    def test_push_and_pull_differ_in_the_host_only(self) -> None:
        endpoints = Endpoints(node_port=30100, push_port=20001, namespace="kube-registry")
        assert endpoints.push_name("team/app", "v1") == "localhost:20001/team/app:v1"
        assert endpoints.pull_reference("team/app", "v1", DIGEST) == f"localhost:30100/team/app:v1@{DIGEST}"

    def test_pods_read_from_the_service_that_no_exposure_changes(self) -> None:
        endpoints = Endpoints(node_port=30100, push_port=20001, namespace="images")
        assert endpoints.cluster_host == "registry-read.images.svc:5001"

    def test_what_it_makes_it_can_parse(self) -> None:
        endpoints = Endpoints(node_port=30100, push_port=20001, namespace="kube-registry")
        assert parse_reference(endpoints.pull_reference("team/app", "v1", DIGEST)) == Reference(
            host="localhost:30100", repository="team/app", tag="v1", digest=DIGEST
        )
        assert parse_reference(endpoints.push_name("app", "v1")).digest is None

    @pytest.mark.parametrize("text", ["", "app", "app:1", "localhost/app", "localhost:1/app@sha256:12", "localhost:1/"])
    def test_half_a_reference_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match="is not host:port/repository"):
            parse_reference(text)


class TestDerivedPushPort:
    @given(st.text(min_size=1), st.text(min_size=1))
    def test_it_is_stable_and_in_range(self, project: str, stack: str) -> None:
        assert derive_push_port(project, stack) == derive_push_port(project, stack)
        assert derive_push_port(project, stack) in PUSH_PORTS

    def test_it_never_changes_between_versions(self) -> None:
        """It is part of every image's name in state: another number would push every image again."""
        assert derive_push_port("kube-registry", "dev") == 23_286

    def test_neighbouring_stacks_differ(self) -> None:
        ports = {derive_push_port("kube-registry", f"cluster-{number}") for number in range(100)}
        assert len(ports) > 95
