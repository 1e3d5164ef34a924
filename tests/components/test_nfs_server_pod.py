"""The NFS server's specs, where a mistake would open it or lose data."""

from typing import Any

from components.nfs_server_pod import GRACE_SECONDS, LEASE_SECONDS, deployment_spec, ganesha_config, network_policy
from kube_registry.spec.sections import PodSettings


def spec(*, user: int = 2049, pod: PodSettings | None = None) -> dict[str, Any]:
    config = ganesha_config(user, "shared")
    return deployment_spec(
        image="server", folder="folder", user=user, config=config, allow_directory=False, pod=pod or PodSettings()
    )


def test_every_client_is_squashed_to_one_user() -> None:
    exports = ganesha_config(1234, "shared").split("EXPORT {")[1:]
    assert len(exports) == 2
    for export in exports:
        lines = {line.strip() for line in export.splitlines()}
        assert {"Squash = All_Squash;", "Anonymous_Uid = 1234;", "Anonymous_Gid = 1234;"} <= lines


def test_a_new_server_waits_for_clients_as_long_as_they_may_be_silent() -> None:
    assert GRACE_SECONDS >= LEASE_SECONDS


def test_another_user_restarts_the_server() -> None:
    first, second = (spec(user=user)["template"]["metadata"]["annotations"] for user in (1, 2))
    assert first != second


def test_it_has_six_capabilities_and_only_one_beyond_the_default() -> None:
    (container,) = spec()["template"]["spec"]["containers"]
    assert container["securityContext"]["capabilities"] == {
        "drop": ["ALL"],
        "add": ["CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "SETGID", "SETUID"],
    }


def test_only_one_port_is_open() -> None:
    assert network_policy()["ingress"] == [{"ports": [{"protocol": "TCP", "port": 2049}]}]


def test_it_has_the_priority_of_the_registry_and_resources_of_its_own() -> None:
    pod = PodSettings.model_validate({"resources": {"requests": {"memory": "1536Mi"}}, "priorityClass": "high"})
    made = spec(pod=pod)["template"]["spec"]
    assert made["containers"][0]["resources"]["requests"] == {"cpu": "50m", "memory": "64Mi"}
    assert made["priorityClassName"] == "high"


def test_clients_take_no_two_servers_for_one() -> None:
    first, second = (ganesha_config(1, namespace) for namespace in ("first", "second"))
    assert "Server_Owner = first;" in first
    assert "Server_Owner = second;" in second
