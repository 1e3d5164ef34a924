"""A real Prometheus and kube-state-metrics on this machine, which reach the pods and the API server of a cluster."""

import json
import re
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lab.toolchain import tool
from lab.waiting import wait_for
from tests.e2e.conftest import CHECKOUT, Lab
from tests.fakes.ports import free_port

ALERTS = CHECKOUT / "docs" / "metrics" / "alerts.yaml"
PAGE = CHECKOUT / "docs" / "metrics.md"
SELECTOR = re.compile(r"\b[a-z_]+\{[^}]*\}")
SECONDS = 60.0


@dataclass(frozen=True)
class Prometheus:
    """A running one.

    Attributes:
        url: its API.
        log: the file with its log.
    """

    url: str
    log: Path

    def ask(self, what: str, **query: str) -> Any:  # noqa: ANN401 - each question has an answer of its own form
        """The answer of its API."""
        url = f"{self.url}/api/v1/{what}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - of this test
            return json.loads(answer.read())["data"]

    def finds(self, selector: str) -> bool:
        """Whether a series matches a selector now."""
        return bool(self.ask("query", query=selector)["result"])

    def wait_until_found(self, selector: str) -> None:
        wait_for(lambda: self.finds(selector), selector, log=self.log, seconds=SECONDS)

    def wait_until_due(self, alerts: set[str]) -> None:
        """Wait until these are all alerts whose condition holds; no test takes as long as one must to fire."""
        wait_for(
            lambda: {each["labels"]["alertname"] for each in self.ask("alerts")["alerts"]} == alerts,
            f"the alerts {alerts}",
            log=self.log,
            seconds=SECONDS,
        )


def rules() -> str:
    """The rules file that the page's command makes of the alerts."""
    (line,) = re.findall(r"^sed .*alerts\.yaml(?= > alerts\.yaml$)", PAGE.read_text(), re.MULTILINE)
    return subprocess.run(["sh", "-c", line], cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout


def selectors() -> list[str]:
    """What the alerts select; no request has failed, so statuses are left out."""
    found = {each.replace(', code=~"5.."', "") for each in SELECTOR.findall(ALERTS.read_text())}
    return sorted(found)


def configuration() -> dict[str, Any]:
    """The configuration of a Prometheus without the operator, as the page has it."""
    (block,) = re.findall(r"```yaml\n(rule_files.*?)```", PAGE.read_text(), re.DOTALL)
    found: dict[str, Any] = yaml.safe_load(block)
    return found


@contextmanager
def watching(lab: Lab, folder: Path, programs: dict[str, Path]) -> Iterator[Prometheus]:
    """Run Prometheus with the page's configuration, and two more jobs: kube-state-metrics, and each node's kubelet."""
    states, kubelets, own, telemetry = (free_port() for _ in range(4))
    config, kubeconfig = configuration(), str(lab.cluster.kubeconfig)
    for each in config["scrape_configs"][0]["kubernetes_sd_configs"]:
        each["kubeconfig_file"] = kubeconfig
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["scrape_configs"].append(job("states", states, "/metrics"))
    config["scrape_configs"] += [
        job(node.name, kubelets, f"/api/v1/nodes/{node.name}/proxy/metrics") for node in lab.cluster.nodes
    ]
    (folder / "alerts.yaml").write_text(rules())
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
    subprocess.run([programs["promtool"], "check", "config", folder / "prometheus.yaml"], check=True, timeout=30)
    made = Prometheus(f"http://127.0.0.1:{own}", folder / "prometheus.log")
    commands: dict[str, Sequence[str | Path]] = {
        "states": (
            programs["kube-state-metrics"],
            f"--kubeconfig={kubeconfig}",
            f"--port={states}",
            "--host=127.0.0.1",
            f"--telemetry-port={telemetry}",
            "--telemetry-host=127.0.0.1",
        ),
        "kubelets": (tool("kubectl"), "--kubeconfig", kubeconfig, "proxy", f"--port={kubelets}"),
        "prometheus": (
            programs["prometheus"],
            f"--config.file={folder / 'prometheus.yaml'}",
            f"--storage.tsdb.path={folder / 'series'}",
            f"--web.listen-address=127.0.0.1:{own}",
        ),
    }
    with ExitStack() as running:
        for name, command in commands.items():
            log = running.enter_context((folder / f"{name}.log").open("w"))
            process = running.enter_context(subprocess.Popen(command, stdout=log, stderr=log))
            running.callback(process.terminate)
        wait_for(lambda: is_ready(made), "Prometheus", log=made.log, seconds=SECONDS)
        yield made


def job(name: str, port: int, path: str) -> dict[str, Any]:
    """A scrape of one port of this machine; labels of its metrics stay as they are."""
    targets = [{"targets": [f"127.0.0.1:{port}"]}]
    return {"job_name": name, "honor_labels": True, "metrics_path": path, "static_configs": targets}


def is_ready(prometheus: Prometheus) -> bool:
    with suppress(OSError):
        return bool(prometheus.ask("status/buildinfo"))
    return False
