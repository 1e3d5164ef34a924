"""The command that an error prints corrects it: provoke the error, run the command in a shell, do the same again.

What needs no stack in a cluster is here; what does is where the cluster has the error anyway, and listed below.
"""

import ast
import asyncio
import json
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from kube_registry.cli.errors import StackError
from kube_registry.cli.stacks import find_stack
from kube_registry.docker_daemon.daemon import prove_daemon
from kube_registry.docker_daemon.errors import DaemonAddressError, DaemonError, DockerConfigError
from kube_registry.errors import KubeRegistryError
from kube_registry.fleet.errors import FleetError
from kube_registry.fleet.fleet_file import read_fleet
from kube_registry.generate import with_example
from kube_registry.kube.client import open_client
from kube_registry.kube.errors import KubeconfigError, KubeContextError
from kube_registry.spec.errors import SettingsError
from tests.e2e.commands import commands_of, paste, tried
from tests.e2e.conftest import CHECKOUT, Lab

pytestmark = pytest.mark.lab

PASSPHRASE = "let me in"  # noqa: S105 - of this test

_SHOWN_BY_DOCTOR = (
    "e2e/housekeeping/test_doctor.py::"
    "test_a_registry_that_does_not_run_is_told_the_rest_is_looked_at_and_the_command_starts_it"
)

TESTS = {
    "SettingsError": "e2e/program/test_settings.py::test_the_commands_of_an_error_correct_a_setting_and_no_other",
    "StackError": "e2e/program/test_settings.py::test_a_stack_that_is_not_there_is_made_by_the_command",
    "DaemonError": "e2e/program/test_fixes.py::test_docker_info_fails_until_the_daemon_is_found",
    "DaemonAddressError": "e2e/program/test_fixes.py::test_an_address_without_scheme_gets_one",
    "DaemonTlsError": "docker_daemon/test_config.py::"
    "test_a_context_with_certificates_is_an_error_whose_command_gives_them_to_everybody",
    "DockerConfigError": "e2e/program/test_fixes.py::test_docker_warns_of_its_configuration_until_it_can_be_used",
    "PodmanVersionError": "docker_daemon/test_podman.py::test_one_that_reports_no_digest_is_refused_before_a_build",
    "PodmanHttpsError": "docker_daemon/test_podman.py::test_it_requires_https_until_the_command_has_configured_it",
    "DaemonReachError": "e2e/registry/test_reach.py::"
    "test_where_the_port_is_taken_nothing_is_built_and_another_one_is_proposed",
    "KubeconfigError": "e2e/program/test_fixes.py::test_another_kubeconfig_is_named",
    "KubeContextError": "e2e/program/test_fixes.py::test_a_kube_context_is_chosen",
    "CredentialPluginFailedError": "e2e/rights/test_connecting.py::test_kubectl_shows_when_a_plugin_works_again",
    "CredentialsError": "e2e/program/test_bad_input.py::test_kubectl_shows_when_credentials_are_accepted_again",
    "ForbiddenError": "e2e/rights/test_rights.py::test_a_right_that_is_missing_is_named_at_once",
    "TunnelForbiddenError": "e2e/rights/test_rights.py::test_a_right_that_is_missing_is_named_at_once",
    "WrittenMeanwhileError": "e2e/housekeeping/test_lease.py::"
    "test_what_is_pushed_without_the_lease_during_a_collection_stays",
    "LeaseUnreadableError": "e2e/housekeeping/test_lease.py::"
    "test_a_lease_that_cannot_be_read_is_deleted_by_the_command",
    "ExecError": "e2e/housekeeping/test_gc.py::test_the_registrys_own_words_are_told_when_its_collection_fails",
    "OtherStackError": "e2e/housekeeping/test_gc.py::test_a_stack_that_did_not_deploy_the_registry_collects_nothing",
    "UsesUnknownError": "e2e/housekeeping/test_in_use.py::test_an_api_that_does_not_answer_stops_what_nobody_watches",
    "DamagedManifestsError": "e2e/housekeeping/test_verify.py::"
    "test_a_damaged_manifest_stops_a_collection_until_it_is_mended",
    "OtherDigestError": "e2e/housekeeping/test_gc.py::"
    "test_a_layer_named_by_sha512_stops_it_until_the_image_is_pushed_again",
    "NamespaceTakenError": "e2e/program/test_bad_input.py::"
    "test_a_namespace_and_a_node_port_that_are_taken_are_explained",
    "VolumeMovedError": "e2e/program/test_volume.py::test_another_storage_class_is_refused_until_it_is_meant",
    "OtherClusterError": "e2e/program/test_volume.py::test_another_cluster_is_refused_until_it_is_meant",
    "NodePortError": "e2e/program/test_bad_input.py::test_a_namespace_and_a_node_port_that_are_taken_are_explained",
    "MonitorKindMissingError": "e2e/metrics/test_metrics.py::"
    "test_a_cluster_without_the_operator_is_named_and_the_command_goes_on_without_it",
    "HostingTakenError": "e2e/registry/test_registry.py::test_what_somebody_else_tells_is_left_alone",
    "NotReadyError": "e2e/program/test_faults.py::test_the_next_up_with_the_right_image_repairs_it",
    "RegistryError": "e2e/registry/test_full_volume.py::"
    "test_it_is_told_with_figures_while_pulls_go_on_and_more_room_mends_it",
    "VolumeNotWritableError": "e2e/housekeeping/test_doctor.py::"
    "test_a_volume_that_the_registry_cannot_write_is_reported_by_an_update_that_pushes_nothing",
    "ClaimLostError": "e2e/s3/test_move.py::"
    "test_a_volume_that_would_be_deleted_stops_preview_and_update_and_the_commands_retain_it",
    "ClaimInUseError": "e2e/shared_volume/test_server.py::test_one_that_a_pod_uses_is_not_replaced",
    "BucketError": "e2e/s3/test_bucket.py::test_a_bucket_that_does_not_exist",
    "NoListingError": "e2e/s3/test_move.py::test_a_command_that_lists_a_volume_says_what_to_do_instead",
    "ContentMissingError": "e2e/images/test_read_back.py::test_the_command_pushes_again_what_was_lost",
    "LocalTagError": "e2e/images/test_local_tags.py::test_the_tag_of_a_container_stays_and_fails_nothing",
    "PreflightError": "e2e/lab/test_node_proxy.py::test_the_same_reference_is_pulled_on_both_nodes",
    "NodeProxyNeededError": "e2e/lab/test_exposure.py::test_a_node_proxy_that_nodes_need_is_not_deleted",
    "TunnelError": _SHOWN_BY_DOCTOR,
    "TunnelTimeoutError": _SHOWN_BY_DOCTOR,
    "PushPortBusyError": "e2e/program/test_faults.py::test_the_next_up_repairs_it_and_three_images_share_one_tunnel",
    "RunCancelledError": "e2e/fleet/test_fleet.py::test_the_command_goes_on_where_the_run_ended",
    "PreviewError": "e2e/program/test_bad_input.py::test_pulumi_preview_fails_until_there_is_a_daemon",
}
"""Error whose example prints a command -> the test that runs it."""

UNTRIED = {
    "TookTooLongError": "a wait of five minutes, and the command is the one that failed",
    "VolumeFullError": "no volume of the lab can grow; test_rights.py shows that a new size changes the claim only",
}
"""Error whose example prints a command that no test runs -> why."""


def test_every_command_that_an_error_prints_is_run() -> None:
    printing = {kind.__name__ for kind in with_example() if commands_of(kind(**kind.example))}
    assert printing == TESTS.keys() | UNTRIED.keys()
    for place in TESTS.values():
        file, _, name = place.partition("::")
        text = (CHECKOUT / "tests" / file).read_text()
        names = {getattr(node, "name", "") for node in ast.walk(ast.parse(text))}
        assert name in names, place


class Project:
    """A folder with the program's Pulumi.yaml and stacks of its own."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self.folder, self.env = folder, dict(env)
        shutil.copy(CHECKOUT / "Pulumi.yaml", folder)

    def paste(self, *lines: str) -> None:
        for line in lines:
            paste(line, self.folder, self.env)

    def ask(self, stack: str | None = None) -> None:
        """Read the settings, then the kubeconfig that they name."""

        async def ask() -> None:
            settings = (await find_stack(stack, folder=self.folder)).settings
            async with open_client(settings):
                pass

        asyncio.run(ask())


@pytest.fixture
def project(tmp_path: Path, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Project:
    (tmp_path / "state").mkdir()
    env = {**lab.env, "PULUMI_BACKEND_URL": f"file://{tmp_path / 'state'}", "PYTHONPATH": str(CHECKOUT)}
    for key, value in env.items():
        monkeypatch.setenv(key, value)
    return Project(tmp_path, env)


def configured(project: Project, lab: Lab, **settings: str) -> None:
    chosen = {"kubeContext": lab.cluster.kube_context, "kubeconfig": str(lab.cluster.kubeconfig), **settings}
    project.paste("pulumi stack init dev --no-select", "pulumi stack init selected")
    project.paste("pulumi config set --stack dev --path images.app.context ./app")
    project.paste(*(f"pulumi config set --stack dev {key} {value}" for key, value in chosen.items()))


def test_a_stack_is_selected(project: Project) -> None:
    project.paste("pulumi stack init dev --no-select")
    with pytest.raises(StackError) as raised:
        project.ask()
    assert "no stack selected" in raised.value.reason
    project.paste(*(line.replace("NAME", "dev") for line in commands_of(raised.value.fix)))  # not Pulumi's own
    with pytest.raises(SettingsError):  # it has none yet
        project.ask()


def test_a_passphrase_is_given(project: Project, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    project.env["PULUMI_CONFIG_PASSPHRASE"] = PASSPHRASE
    configured(project, lab)
    project.paste("pulumi config set --stack dev --secret namespace secret")
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE")
    with pytest.raises(StackError) as raised:
        project.ask("dev")
    (line,) = commands_of(raised.value)
    shown = paste(f"{line.replace('TEXT', repr(PASSPHRASE))}; printenv PULUMI_CONFIG_PASSPHRASE", project.folder, {})
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", shown.rstrip("\n"))
    project.ask("dev")


def test_another_kubeconfig_is_named(project: Project, lab: Lab) -> None:
    configured(project, lab, kubeconfig="nowhere.json")
    with pytest.raises(KubeconfigError) as raised:
        project.ask("dev")
    project.paste(*(line.replace("FILE", str(lab.cluster.kubeconfig)) for line in commands_of(raised.value)))
    project.ask("dev")


def test_a_kube_context_is_chosen(project: Project, lab: Lab) -> None:
    configured(project, lab, kubeContext="nowhere")
    with pytest.raises(KubeContextError) as raised:
        project.ask("dev")
    assert raised.value.reason.endswith(lab.cluster.kube_context)
    project.paste(*(line.replace("NAME", lab.cluster.kube_context) for line in commands_of(raised.value, "config")))
    # test_volume.py runs the other one
    project.ask("dev")


def test_a_fleet_is_written(project: Project, lab: Lab) -> None:
    with pytest.raises(FleetError) as raised:
        read_fleet(project.folder)
    project.paste(*commands_of(raised.value))
    assert [member.settings.kube_context for member in read_fleet(project.folder).members] == [lab.cluster.kube_context]


def refusal(env: Mapping[str, str]) -> KubeRegistryError:
    with pytest.raises(KubeRegistryError) as raised:
        asyncio.run(prove_daemon(env))
    return raised.value


def test_docker_info_fails_until_the_daemon_is_found(lab: Lab, tmp_path: Path) -> None:
    wrong = {**lab.env, "DOCKER_HOST": "unix:///nowhere.sock"}
    error = refusal(wrong)
    assert isinstance(error, DaemonError)
    (line,) = commands_of(error)
    assert tried(line, tmp_path, wrong).returncode != 0
    paste(line, tmp_path, lab.env)
    asyncio.run(prove_daemon(lab.env))


def test_an_address_without_scheme_gets_one(lab: Lab, tmp_path: Path) -> None:
    wrong = {**lab.env, "DOCKER_HOST": f" {lab.env['DOCKER_HOST']}"}
    error = refusal(wrong)
    assert isinstance(error, DaemonAddressError)
    (line,) = commands_of(error)
    right = paste(f"{line}; printenv DOCKER_HOST", tmp_path, wrong).rstrip("\n")
    asyncio.run(prove_daemon({**wrong, "DOCKER_HOST": right}))


@pytest.mark.parametrize("wrong", ["{", "[]", '{"auths": 1}', '{"credHelpers": []}'])
def test_docker_warns_of_its_configuration_until_it_can_be_used(lab: Lab, tmp_path: Path, wrong: str) -> None:
    env = {**lab.env, "DOCKER_CONFIG": str(tmp_path)}
    del env["DOCKER_HOST"]
    file = tmp_path / "config.json"
    file.write_text(wrong)
    error = refusal(env)
    assert isinstance(error, DockerConfigError)
    (line,) = commands_of(error)
    assert "WARNING" in paste(line, tmp_path, env)
    file.write_text(json.dumps({}))
    assert "WARNING" not in paste(line, tmp_path, env)
    with suppress(DaemonError):  # the lab's engine may listen elsewhere
        asyncio.run(prove_daemon(env))
