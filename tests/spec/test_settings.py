import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic.alias_generators import to_snake

from kube_registry.names import PROBE_REPOSITORY as REPOSITORY
from kube_registry.spec.errors import SettingsError
from kube_registry.spec.settings import Settings

LEAST: dict[str, Any] = {"kubeContext": "lab-dev", "images": {"app": {}}}


def parse(**given: object) -> Settings:
    return Settings.parse({**LEAST, **given}, project="kube-registry", stack="dev")


def refusal(given: dict[str, object]) -> str:
    with pytest.raises(SettingsError) as raised:
        parse(**given)
    sentence = str(raised.value)
    assert "\n" not in sentence
    return sentence


class TestSettings:
    def test_a_kube_context_and_an_image_are_enough(self) -> None:
        settings = parse()
        assert settings.namespace == "kube-registry"
        assert settings.endpoints.pull_host == "localhost:30100"
        assert settings.images["app"].dockerfile == "Dockerfile"

    def test_numbers_and_structures_may_come_as_pulumi_writes_them(self) -> None:
        settings = parse(nodePort="30111", images='{"team/app": {"context": "./app", "buildArgs": {"A": "1"}}}')
        assert settings.node_port == 30111
        assert settings.images["team/app"].build_args == {"A": "1"}

    def test_where_text_is_meant_numbers_and_truth_values_are_text(self) -> None:
        written = (
            '{"app": {"context": 2024, "buildArgs": {"A": 20, "B": true, "C": 1.10, "D": 1e3, "E": "", "F": null}}}'
        )
        image = parse(images=written, namespace=2024).images["app"]
        assert image.context == "2024"
        assert image.build_args == {"A": "20", "B": "true", "C": "1.10", "D": "1e3", "E": ""}

    def test_the_pod_comes_as_pulumi_or_a_fleet_writes_it(self) -> None:
        written = '{"tolerations": [{"operator": "Exists", "tolerationSeconds": 60}], "nodeSelector": {"gpu": true}}'
        pod = parse(pod=written).pod
        assert pod.tolerations[0].toleration_seconds == 60
        assert pod.node_selector == {"gpu": "true"}
        assert pod == parse(pod={**json.loads(written), "user": None}).pod
        assert parse(pod="{}") == parse()

    def test_the_bucket_comes_as_pulumi_writes_it_and_an_empty_one_is_none(self) -> None:
        written = '{"bucket": 2024, "region": "eu", "redirect": "true", "secret": ""}'
        found = parse(s3=written, replicas="3")
        assert found.s3 is not None
        assert (found.s3.bucket, found.s3.redirect, found.s3.secret, found.replicas) == ("2024", True, None, 3)
        assert parse(s3="{}", claim="{}") == parse()

    @pytest.mark.parametrize(
        ("given", "key", "fix"),
        [
            ({"claim": {"size": "1Gi"}}, "claim", "`pulumi config rm --path claim`"),
            ({"storageSize": "1Gi"}, "claim", "`pulumi config rm --path storageSize`"),
            ({"retain": True}, "retain", "`pulumi config rm --path retain`"),
            ({"s3": {"secret": "a", "serviceAccountAnnotations": {"b": "c"}}}, "s3.secret", "--path s3.secret`"),
            ({"s3": {"region": None}}, "s3.region", "`pulumi config set --path s3.region eu-central-1`"),
            ({"s3": {"endpoint": "minio:9000"}}, "s3.endpoint", "s3.endpoint https://s3.example.com`"),
            ({"s3": {"endpoint": "http://user:word@minio"}}, "s3.endpoint", "s3.endpoint https://s3.example.com`"),
            ({"s3": {"endpoint": "http://minio:port"}}, "s3.endpoint", "s3.endpoint https://s3.example.com`"),
            ({"s3": {"endpoint": "http://localhost:9000"}}, "s3.endpoint", "s3.endpoint https://s3.example.com`"),
            ({"s3": {"endpoint": "https://127.0.0.1"}}, "s3.endpoint", "s3.endpoint https://s3.example.com`"),
            ({"s3": {"endpoint": "http://[::1]:9000/"}}, "s3.endpoint", "s3.endpoint https://s3.example.com`"),
            ({"s3": {"rootFolder": ".."}}, "s3.rootFolder", "s3.rootFolder registry`"),
            ({"s3": {"rootFolder": "a/../b"}}, "s3.rootFolder", "s3.rootFolder registry`"),
            ({"s3": {"rootFolder": "./a"}}, "s3.rootFolder", "s3.rootFolder registry`"),
            ({"s3": {"secret": "a..b"}}, "s3.secret", "s3.secret registry-s3`"),
            (
                {"s3": {"serviceAccountAnnotations": {"role of": "b"}}},
                "s3.serviceAccountAnnotations.role of",
                "`pulumi config rm --path s3.serviceAccountAnnotations`",
            ),
            ({"replicas": 0}, "replicas", "`pulumi config set --path replicas 1`"),
        ],
    )
    def test_what_is_not_allowed_with_a_bucket(self, given: dict[str, Any], key: str, fix: str) -> None:
        sentence = refusal({**given, "s3": {"bucket": "images", "region": "eu", **given.get("s3", {})}})
        assert f"setting {key}: " in sentence
        assert fix in sentence

    @pytest.mark.parametrize(
        ("given", "key", "fix"),
        [
            ({"s3": {"buckt": "images"}}, "s3.buckt", "`pulumi config set --path s3.bucket images`"),
            ({"metrics": {"namespce": "mon"}}, "metrics.namespce", "`pulumi config set --path metrics.namespace mon`"),
        ],
    )
    def test_a_misspelt_key_comes_before_the_missing_one(self, given: dict[str, Any], key: str, fix: str) -> None:
        sentence = refusal(given)
        assert f"setting {key}: there is no such setting" in sentence
        assert fix in sentence

    @pytest.mark.parametrize("endpoint", ["http://minio.minio.svc:9000/", "https://[fd00::7]:9000", "https://s3_1.lan"])
    @pytest.mark.parametrize("folder", ["registry", "a.b/c_d/e-f", "2024"])
    def test_servers_and_folders(self, endpoint: str, folder: str) -> None:
        s3 = parse(s3={"bucket": "images", "region": "eu", "endpoint": endpoint, "rootFolder": folder}).s3
        assert s3 is not None
        assert (s3.endpoint, s3.root_folder) == (endpoint, folder)

    @pytest.mark.parametrize("labels", [{"a b": "c"}, {"a": "b c"}, {"a/b/c": "d"}, {"a": "-b"}, {"a": "b" * 64}])
    def test_labels_that_kubernetes_does_not_allow(self, labels: dict[str, str]) -> None:
        where = f"{next(iter(labels))}: "
        sentence = refusal({"pod": {"nodeSelector": labels}})
        assert f"setting pod.nodeSelector.{where}" in sentence
        assert "must be a map of labels, whose values have at most 63 letters" in sentence
        sentence = refusal({"metrics": {"namespace": "monitoring", "serviceMonitorLabels": labels}})
        assert f"setting metrics.serviceMonitorLabels.{where}" in sentence

    def test_labels_that_kubernetes_allows(self) -> None:
        labels = {"node-role.kubernetes.io/storage": "", "Team.a_b": "X-1.y_2", "a": "b" * 63}
        assert parse(pod={"nodeSelector": labels}).pod.node_selector == labels

    def test_only_a_bucket_has_several_pods(self) -> None:
        assert "only a bucket" in refusal({"replicas": 2})

    def test_an_image_without_settings_has_the_defaults(self) -> None:
        assert parse(images='{"app": null}') == parse(images={"app": {"target": None, "buildArgs": None}}) == parse()

    @pytest.mark.parametrize("value", [0, "0", False, "false", "no", "off"])
    def test_zero_is_false_and_not_what_was_left_out(self, value: object) -> None:
        assert parse(preflight=value).preflight is False
        assert "nodePort: '0' is not allowed" in refusal({"nodePort": "0"})

    @pytest.mark.parametrize("size", ["10Ei", "500Mi", "1.5Gi", "0.5Gi", "10k", "1E", "10e9", "1073741824"])
    def test_a_size_is_a_quantity_of_kubernetes(self, size: str) -> None:
        assert parse(claim={"size": size}).claim.size == size

    @pytest.mark.parametrize("size", ["0", 0, "0Gi", "0.0", "00", "10K", "-1Gi", "500m", "ten"])
    def test_a_size_that_no_volume_can_have(self, size: object) -> None:
        assert "it must be a quantity of more than zero" in refusal({"claim": {"size": size}})

    @pytest.mark.parametrize("name", [REPOSITORY, "a" * 256, "a" * 240, "team//app", "-a"])
    def test_a_repository_that_cannot_be_pushed_or_is_the_preflights(self, name: str) -> None:
        assert f"setting images.{name}: " in refusal({"images": {name: {}}})

    def test_the_longest_repository_leaves_room_for_host_and_port(self) -> None:
        name = "a" * 239
        assert len(f"{parse(images={name: {}}).endpoints.pull_host}/{name}") == 255

    def test_a_secret_is_in_no_error(self) -> None:
        secret = ["kube-registry:images", "kube-registry:nodePort"]
        for given in ({"nodePort": "hidden"}, {"images": "hidden"}, {"images": {"app": {"target": ["hidden"]}}}):
            with pytest.raises(SettingsError) as raised:
                Settings.parse({**LEAST, **given}, project="kube-registry", stack="dev", secret=secret)
            assert "hidden" not in str(raised.value)

    def test_the_name_of_an_image_is_no_secret(self) -> None:
        """It is a key of the stack's file, which nothing encrypts."""
        with pytest.raises(SettingsError) as raised:
            Settings.parse({**LEAST, "images": {"App": {}}}, project="shop", stack="dev", secret=["images"])
        assert raised.value.problem.startswith(
            "'App' is not allowed as an image name; it must consist of lower-case letters"
        )

    @pytest.mark.parametrize("key", ["preflight", "retain", "localRegistryHosting"])
    def test_a_truth_value_that_is_none_goes_back_to_the_default(self, key: str) -> None:
        """The line of an error turns no check off."""
        default = getattr(parse(), to_snake(key))
        assert refusal({key: "perhaps"}).endswith(f"set --path {key} {str(default).lower()}`")

    def test_build_arguments_are_secret_where_the_images_are(self) -> None:
        whole = {**LEAST, "images": {"app": {"buildArgs": {"A": "1"}}}}
        for secret, config, expected in ((["images"], whole, True), (["images"], LEAST, False), ([], whole, False)):
            settings = Settings.parse(config, project="kube-registry", stack="dev", secret=secret)
            assert settings.has_secret_build_args is expected

    def test_the_push_port_is_that_of_the_stacks_own_name(self) -> None:
        assert (
            Settings.parse(LEAST, project="kube-registry", stack="acme/kube-registry/dev").push_port
            == parse().push_port
        )

    @pytest.mark.parametrize(
        "given",
        [
            "apiVersion: v1\nusers: [{name: u, user: {token: s3cr3t}}]\n",
            '{"users": [{"name": "u", "user": {"token": "s3cr3t"}}]}',
        ],
    )
    def test_a_kubeconfig_itself_is_kept_and_not_shown(self, given: str) -> None:
        settings = parse(kubeconfig=given)
        assert yaml.safe_load(str(settings.kubeconfig))["users"] == [{"name": "u", "user": {"token": "s3cr3t"}}]
        assert "s3cr3t" not in f"{settings!r} {settings}"

    def test_a_kubeconfig_that_is_no_text_is_not_repeated(self) -> None:
        with pytest.raises(SettingsError, match="which is secret, is not allowed; it must be the path") as raised:
            parse(kubeconfig={"users": [{"name": "u", "user": {"token": "s3cr3t"}}]})
        assert "s3cr3t" not in str(raised.value)

    @pytest.mark.parametrize(
        ("key", "meant", "value", "secret"),
        [
            ("kubeConfig", "kubeconfig", '{"users": [{"name": "u", "user": {"token": "s3cr3t"}}]}', ()),
            ("kubeConfig", "kubeconfig", "/s3cr3t", ("kubeConfig",)),
            ("nameSpace", "namespace", "s3cr3t", ("nameSpace",)),
        ],
    )
    def test_a_secret_under_a_misspelt_key_is_moved_and_not_repeated(
        self, key: str, meant: str, value: str, secret: tuple[str, ...]
    ) -> None:
        with pytest.raises(SettingsError) as raised:
            Settings.parse({**LEAST, key: value}, project="kube-registry", stack="dev", secret=secret)
        assert f"`pulumi config get --path {key} | pulumi config set --secret --path {meant}`" in raised.value.fix
        assert "s3cr3t" not in str(raised.value)

    @pytest.mark.parametrize(
        ("given", "place"),
        [
            ({"Images": ["./app"], "images": {"app": {"target": "release"}}}, "Images"),
            ({"images": {"app": {"buildargs": ["V=1"], "buildArgs": {"V": "2"}}}}, "images.app.buildargs"),
        ],
    )
    def test_what_is_set_does_not_go_for_a_misspelt_key_with_a_wrong_value(
        self, given: dict[str, object], place: str
    ) -> None:
        sentence = refusal(given)
        assert re.findall(r"`([^`]+)`", sentence) == [f"pulumi config rm --path {place}"]

    def test_a_path_under_a_misspelt_key_is_set_again(self) -> None:
        assert "`pulumi config set --path kubeconfig /my/config`" in refusal({"kubeConfig": "/my/config"})

    def test_a_kubeconfig_in_the_home_folder_is_found_by_whoever_reads_it(self) -> None:
        assert parse(kubeconfig="~/.kube/config").kubeconfig == str(Path.home() / ".kube" / "config")

    def test_a_home_folder_that_is_not_known_is_a_path_that_is_not_there(self) -> None:
        assert parse(kubeconfig="~nobody-here/config").kubeconfig == "~nobody-here/config"

    def test_a_node_proxy_needs_no_port_of_the_node_port_range_but_one_without_privileges(self) -> None:
        assert parse(nodePort="1024", exposure="nodeProxy").endpoints.pull_host == "localhost:1024"
        assert parse(nodePort="1023").node_port == 1023, "whether the cluster has it in its range is its own business"
        sentence = refusal({"nodePort": "1023", "exposure": "nodeProxy"})
        assert sentence.startswith("setting nodePort: '1023' is not allowed: the node proxy has no privileges")
        assert "`pulumi config set --path nodePort 30100`" in sentence

    def test_an_empty_value_means_not_set(self) -> None:
        assert parse(claim={"storageClass": "", "size": None}, exposure="", namespace=None, pushPort="0") == parse()

    def test_a_push_port_of_ones_own_wins_over_the_derived_one(self) -> None:
        assert parse(pushPort="21000").push_port == 21000
        assert parse().push_port != Settings.parse(LEAST, project="kube-registry", stack="other").push_port

    @pytest.mark.parametrize(
        ("given", "found", "fix"),
        [
            ({"node_port": "x"}, "node_port: 'x' is not allowed", """'["node_port"]' 30100"""),
            ({"kubeContext": ""}, "kubeContext: it is missing", "set --path kubeContext my-context"),
            ({"nodePort": "many"}, "nodePort: 'many' is not allowed", "set --path nodePort 30100"),
            ({"nodePort": "70000"}, "nodePort: '70000' is not allowed", "set --path nodePort 30100"),
            ({"pushPort": "80"}, "pushPort: '80' is not allowed", "set --path pushPort 21000"),
            ({"namespace": "My_Registry"}, "namespace: 'My_Registry' is not allowed", "namespace kube-registry"),
            ({"claim": '{"size": "ten"}'}, "claim.size: 'ten' is not allowed", "set --path claim.size 10Gi"),
            ({"platform": "amd64"}, "platform: 'amd64' is not allowed", "set --path platform linux/amd64"),
            ({"images": {}}, "images: {} is not allowed", "set --path images.app.context ./app"),
            ({"images": "not json"}, "images: 'not json' is not allowed", "set --path images.app.context ./app"),
            (
                {"images": {"App": {}}},
                "images.App: 'App' is not allowed as an image name",
                "set --path images.app.context .",
            ),
            ({"images": {"app": {"context": []}}}, "images.app.context: [] is not allowed", "images.app.context ./app"),
            ({"claim": {"size": "0Gi"}}, "claim.size: '0Gi' is not allowed", "set --path claim.size 10Gi"),
        ],
    )
    def test_a_bad_value_names_the_key_what_is_allowed_and_the_line_that_mends_it(
        self, given: dict[str, object], found: str, fix: str
    ) -> None:
        sentence = refusal(given)
        assert sentence.startswith(f"setting {found}; it must ")
        assert sentence.endswith(f"{fix}`")

    @pytest.mark.parametrize(
        ("given", "found", "fix"),
        [
            (
                {"nodeport": "30100"},
                "nodeport: there is no such setting; the most similar one is nodePort",
                "nodePort 30100",
            ),
            (
                {"kubeContext": "", "kubecontxt": "a"},
                "kubecontxt: there is no such setting; the most similar one is kubeContext",
                "kubeContext a",
            ),
            (
                {"kubecontxt": "a"},
                "kubecontxt: there is no such setting; the most similar one is kubeContext",
                "kubeContext a",
            ),
            (
                {"images.app.buildArgs.NODE": "20"},
                "images.app.buildArgs.NODE: there is no such setting; without --path, dots are part of the key",
                "set --path images.app.buildArgs.NODE 20",
            ),
            (
                {"pod.user": "platform"},
                "pod.user: there is no such setting; without --path, dots are part of the key",
                "set --path pod.user platform",
            ),
            (
                {"pod.tolerations[0].operator": "Exists"},
                "pod.tolerations[0].operator: there is no such setting; without --path, dots are part of the key",
                "set --path 'pod.tolerations[0].operator' Exists",
            ),
            (
                {"pod.usr": "fixed"},
                "pod.usr: there is no such setting; the settings are",
                """rm --path '["pod.usr"]'""",
            ),
            ({"retries": "3"}, "retries: there is no such setting; the settings are kubeContext,", "rm --path retries"),
            (
                {"images": {"team/app": {"dockerFile": "x"}}},
                "images.team/app.dockerFile: there is no such setting; the most similar one is dockerfile",
                """set --path 'images["team/app"].dockerfile' x""",
            ),
        ],
    )
    def test_a_misspelt_key_is_told_the_nearest_one(self, given: dict[str, object], found: str, fix: str) -> None:
        sentence = refusal(given)
        assert sentence.startswith(f"setting {found}")
        assert sentence.endswith(f"{fix}`")

    @pytest.mark.parametrize(
        ("pod", "found", "fix"),
        [
            ({"user": "root"}, "'root' is not allowed; it must be fixed or platform", "--path pod.user platform`"),
            ({"usr": "fixed"}, "the most similar one is user", "`pulumi config set --path pod.user fixed`"),
            ("text", "it must be a map of nodeSelector", "`pulumi config set --path pod.user platform`"),
            (
                {"tolerations": [{"keyy": "a"}]},
                "there is no such field; tolerations must be a list of tolerations",
                (
                    "`pulumi config rm --path pod.tolerations` and "
                    "`pulumi config set --path 'pod.tolerations[0].operator' Exists`"
                ),
            ),
            (
                {"resources": {"limit": {}}},
                "resources must be a map of requests and limits",
                "pod.resources.limits.memory",
            ),
            (
                {"resources": {"limits": {"memory": "1GB"}}},
                "'1GB' is not allowed; resources must be a map of requests and limits, each of quantities",
                "pod.resources.limits.memory 1Gi`",
            ),
            ({"resources": {"requests": {"cpu": "half"}}}, "'half' is not allowed", "pod.resources.limits.memory 1Gi`"),
        ],
    )
    def test_a_pod_that_cannot_be_is_corrected(self, pod: object, found: str, fix: str) -> None:
        sentence = refusal({"pod": pod})
        assert found in sentence
        assert fix in sentence

    def test_metrics_are_off_without_a_namespace_and_the_rest_has_defaults(self) -> None:
        assert parse(metrics="{}").metrics is parse(metrics=None).metrics is parse().metrics is None
        metrics = parse(metrics='{"namespace": "monitoring", "serviceMonitorLabels": {"team": 7}}').metrics
        assert metrics is not None
        assert (metrics.namespace, metrics.service_monitor) == ("monitoring", False)
        assert metrics.service_monitor_labels == {"team": "7"}

    @pytest.mark.parametrize(
        ("metrics", "found", "fix"),
        [
            (
                {"serviceMonitor": True},
                "metrics.namespace: it is missing; it must be at most 63",
                "metrics.namespace monitoring`",
            ),
            (
                {"namespace": "My_Own"},
                "'My_Own' is not allowed; it must be at most 63",
                "metrics.namespace monitoring`",
            ),
            (
                {"namespace": "a", "serviceMonitor": "perhaps"},
                "it must be true or false",
                "--path metrics.serviceMonitor false`",
            ),
            (
                {"namespace": "a", "serviceMonitr": True},
                "the most similar one is serviceMonitor",
                "serviceMonitor true`",
            ),
            ("monitoring", "it must be a map of namespace, serviceMonitor", "--path metrics.namespace monitoring`"),
        ],
    )
    def test_metrics_that_cannot_be_are_corrected(self, metrics: object, found: str, fix: str) -> None:
        sentence = refusal({"metrics": metrics})
        assert found in sentence
        assert sentence.endswith(fix)

    @pytest.mark.parametrize("quantity", ["1", "0.5", ".5", "500m", "64Mi", "1G", "1e3", "128974848000m"])
    def test_resources_take_the_quantities_of_kubernetes(self, quantity: str) -> None:
        assert parse(pod={"resources": {"limits": {"cpu": quantity}}}).pod.resources.limits == {"cpu": quantity}

    def test_keys_of_other_namespaces_are_passed_over(self) -> None:
        assert parse(**{"pulumi:disable-default-providers": "[]", "kube-registry:nodePort": "30111"}).node_port == 30111


class TestOldNames:
    def test_a_setting_is_read_under_its_old_name_and_the_commands_for_the_new_one_are_noted(self) -> None:
        old = {"storageSize": "50Gi", "storageClass": "fast", "nodeProxy": "true"}
        settings = parse(**old)
        present = parse(claim={"size": "50Gi", "storageClass": "fast"}, exposure="nodeProxy")
        assert settings.model_dump() == present.model_dump()
        assert [re.findall(r"`([^`]+)`", note) for note in settings.notes] == [
            ["pulumi config rm --path storageSize", "pulumi config set --path claim.size 50Gi"],
            ["pulumi config rm --path storageClass", "pulumi config set --path claim.storageClass fast"],
            ["pulumi config rm --path nodeProxy", "pulumi config set --path exposure nodeProxy"],
        ]

    @pytest.mark.parametrize("key", ["storageSize", "storageClass", "nodeProxy"])
    def test_a_secret_under_an_old_name_is_in_no_error(self, key: str) -> None:
        with pytest.raises(SettingsError, match=f"setting {key}: its value, which is secret, is not allowed") as raised:
            Settings.parse({**LEAST, key: ["hidden"]}, project="kube-registry", stack="dev", secret=[key])
        assert "hidden" not in str(raised.value)

    def test_present_names_need_no_note(self) -> None:
        assert parse(claim='{"size": "50Gi"}', exposure="nodePort", storageSize="", nodeProxy=None).notes == ()

    @pytest.mark.parametrize("value", [False, "false", "0", "no"])
    def test_no_node_proxy_is_the_node_port(self, value: object) -> None:
        assert parse(nodeProxy=value).exposure == "nodePort"

    def test_old_and_new_join_where_they_are_two_fields_of_a_section(self) -> None:
        claim = parse(storageSize="50Gi", claim='{"storageClass": "fast"}').claim
        assert (claim.size, claim.storage_class) == ("50Gi", "fast")

    @pytest.mark.parametrize(
        "both",
        [
            {"storageSize": "50Gi", "claim": '{"size": "50Gi"}'},
            {"storageClass": "fast", "claim": {"storageClass": "fast"}},
            {"nodeProxy": True, "exposure": "nodeProxy"},
        ],
    )
    def test_both_names_together_are_refused(self, both: dict[str, object]) -> None:
        old = next(iter(both))
        assert refusal(both).endswith(f"Fix: `pulumi config rm --path {old}`")

    @pytest.mark.parametrize(
        ("given", "lines"),
        [
            (
                {"storageSize": "ten"},
                ["pulumi config rm --path storageSize", "pulumi config set --path claim.size 10Gi"],
            ),
            (
                {"nodeProxy": "perhaps"},
                ["pulumi config rm --path nodeProxy", "pulumi config set --path exposure nodePort"],
            ),
            ({"storagesize": 5}, ["pulumi config rm --path storagesize", "pulumi config set --path claim.size 5"]),
            ({"nodeproxy": True}, ["pulumi config rm --path nodeproxy", "pulumi config set --path exposure nodeProxy"]),
            (
                {"storageSize": "5Gi", "claim": "big"},
                ["pulumi config rm --path claim", "pulumi config set --path claim.size 10Gi"],
            ),
        ],
    )
    def test_a_wrong_value_under_an_old_name_is_corrected_under_the_new_one(
        self, given: dict[str, object], lines: list[str]
    ) -> None:
        assert re.findall(r"`([^`]+)`", refusal(given)) == lines
