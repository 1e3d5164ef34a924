"""The alerts by promtool, without a cluster: they are valid, and each is due when it says and not before."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.monitoring import MONITORING
from lab.toolchain import build
from tests.e2e.conftest import CHECKOUT
from tests.e2e.metrics.watching import ALERTS, PAGE, rules

DAY = 24 * 60
"""Minutes."""

IN_NAMESPACE = 'namespace="kube-registry"'
CLAIM = f'{{{IN_NAMESPACE}, persistentvolumeclaim="registry"}}'
LEASE = f'kube_lease_renew_time{{{IN_NAMESPACE}, lease="last-collection"}}'
CREATED = f"kube_persistentvolumeclaim_created{CLAIM}"
REQUESTS = f'registry_http_requests_total{{job="kube-registry", {IN_NAMESPACE}'
OK, FAILED = (f'{REQUESTS}, code="{code}"}}' for code in (200, 503))


def volume(*, bytes_free: int, inodes_free: int) -> dict[str, str]:
    """Series of a volume with 100 bytes and 100 inodes."""
    return {
        f"kubelet_volume_stats_capacity_bytes{CLAIM}": "100",
        f"kubelet_volume_stats_inodes{CLAIM}": "100",
        f"kubelet_volume_stats_available_bytes{CLAIM}": str(bytes_free),
        f"kubelet_volume_stats_inodes_free{CLAIM}": str(inodes_free),
    }


@pytest.fixture(scope="module")
def promtool() -> Path:
    build(MONITORING)
    found = MONITORING.find()
    assert found
    return found["promtool"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the rules file."""
    (tmp_path / "alerts.yaml").write_text(rules())
    return tmp_path


def checked(promtool: Path, folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([promtool, *words], cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def test_they_are_valid(promtool: Path, folder: Path) -> None:
    done = checked(promtool, folder, "check", "rules", "--lint=all", "--lint-fatal", "alerts.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 rules found" in done.stdout


def test_the_pages_command_makes_them_those_of_another_namespace() -> None:
    (line,) = re.findall(r"^sed -E .*$", PAGE.read_text(), re.MULTILINE)
    said = subprocess.run(["sh", "-c", line], cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout
    manifest = yaml.safe_load(said)
    assert manifest["metadata"]["namespace"] == "my-registry"
    assert said.count('namespace="my-registry"') == ALERTS.read_text().count('namespace="kube-registry"') > 0
    assert 'job="kube-registry"' in said


@pytest.mark.parametrize(
    ("alert", "series", "minutes", "due"),
    [
        ("RegistryNotCollected", {CREATED: "0"}, 29 * DAY, False),
        ("RegistryNotCollected", {CREATED: "0"}, 31 * DAY, True),
        ("RegistryNotCollected", {CREATED: "0", LEASE: f"{10 * DAY * 60}"}, 31 * DAY, False),
        ("RegistryNotCollected", {CREATED: "0", LEASE: f"{DAY * 60}"}, 32 * DAY, True),
        ("RegistryNotCollected", {}, 31 * DAY, False),
        ("RegistryNotCollected", {LEASE: "0"}, 31 * DAY, False),  # the images were moved to a bucket
        ("RegistryVolumeNearlyFull", volume(bytes_free=11, inodes_free=50), 30, False),
        ("RegistryVolumeNearlyFull", volume(bytes_free=9, inodes_free=50), 30, True),
        ("RegistryVolumeNearlyFull", volume(bytes_free=50, inodes_free=9), 30, True),
        ("RegistryServerErrors", {OK: "0+100"}, 30, False),
        ("RegistryServerErrors", {OK: "0+100", FAILED: "0+5"}, 30, True),
        ("RegistryServerErrors", {OK: "0+1000", FAILED: "0+5"}, 30, False),
    ],
)
def test_one_is_due_when_it_says(
    promtool: Path, folder: Path, alert: str, series: dict[str, str], minutes: int, *, due: bool
) -> None:
    step = 1 if minutes < DAY else 5  # Prometheus takes a series for ended after five minutes without a value
    expected = [{"exp_labels": {"severity": "warning", "namespace": "kube-registry"} | labels(alert)}] if due else []
    case: dict[str, Any] = {
        "interval": f"{step}m",
        "input_series": [{"series": each, "values": f"{first}x{minutes // step}"} for each, first in series.items()],
        "alert_rule_test": [{"eval_time": f"{minutes}m", "alertname": alert, "exp_alerts": expected}],
    }
    # Annotations have the value in words, and are not compared.
    (folder / "test.yaml").write_text(
        yaml.safe_dump({"rule_files": ["bare.yaml"], "evaluation_interval": f"{step}m", "tests": [case]})
    )
    (folder / "bare.yaml").write_text(yaml.safe_dump(without_annotations(yaml.safe_load(rules()))))
    done = checked(promtool, folder, "test", "rules", "test.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


def labels(alert: str) -> dict[str, str]:
    return {"persistentvolumeclaim": "registry"} if "Volume" in alert else {}


def without_annotations(file: dict[str, Any]) -> dict[str, Any]:
    for group in file["groups"]:
        for rule in group["rules"]:
            del rule["annotations"]
    return file
