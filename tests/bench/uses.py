"""The table of a cluster that holds much: how long its objects take to be searched for images, and how much memory.

Five thousand each of pods, ReplicaSets, ConfigMaps and custom resources; half of them name an image of the registry.
"""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

from kube_registry.concurrency import map_limited, poll
from kube_registry.kube.client import open_client
from kube_registry.spec.settings import Settings
from lab import cluster
from lab.progress import Progress
from tests.bench import table
from tests.bench.life import run_module
from tests.bench.reading import reference

CLUSTER = "bench-uses"
OBJECTS, FILLED_AT_ONCE = 5_000, 32
HEAD = ("cluster", "image names found", "s", "CPU s", "peak memory, MB", "memory before, MB")
GROUP, PLURAL, KIND = "acme.example", "things", "Thing"
TEXT = "some configuration that nothing is found in\n" * 60


def measure(repetitions: int, progress: Progress) -> list[tuple[str, ...]]:
    """The lines of the table; the first is its head."""
    try:
        running = cluster.up(CLUSTER, nodes=1, report=progress)
        with progress.running("an empty cluster", "measuring"):
            lines = [HEAD, _line("empty", running, repetitions)]
        with progress.running(f"{4 * OBJECTS} objects", "making"):
            asyncio.run(_fill(_settings(running)))
        with progress.running(f"{4 * OBJECTS} objects", "measuring"):
            return [*lines, _line(f"{4 * OBJECTS:,} objects", running, repetitions)]
    finally:
        cluster.down(CLUSTER)


def _line(name: str, running: cluster.Cluster, repetitions: int) -> tuple[str, ...]:
    place = (running.kubeconfig, running.kube_context)
    samples = [json.loads(run_module("tests.bench.reading", *place)) for _ in range(repetitions)]
    times = [table.spread([each[what] for each in samples]) for what in ("seconds", "cpu_seconds")]
    memory = [table.spread([each[when] / 1e6 for each in samples], 0) for when in ("peak", "before")]
    return name, f"{samples[0]['uses']:,}", *times, *memory


def _settings(running: cluster.Cluster) -> Settings:
    config = {"kubeContext": running.kube_context, "kubeconfig": str(running.kubeconfig), "images": {"app": {}}}
    return Settings.parse(config, project="bench", stack="bench")


async def _fill(settings: Settings) -> None:
    async with open_client(settings) as kube:
        await kube.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", _definition())
        await poll(lambda: kube.find(f"/apis/{GROUP}/v1/{PLURAL}"), seconds=30, pause=0.1)
        await map_limited(lambda each: kube.create(*each), _objects(), at_once=FILLED_AT_ONCE)


def _objects() -> Iterator[tuple[str, dict[str, Any]]]:
    for number in range(OBJECTS):
        image = reference(number) if number % 2 else "elsewhere.example/other:v1"
        spec = _pod_spec(image)
        labels = {"app": f"app-{number}"}
        replicas = {"replicas": 0, "selector": {"matchLabels": labels}}
        template = {"metadata": {"labels": labels}, "spec": _pod_spec(image)}
        for group, plural, rest in (
            ("api/v1", "pods", {"spec": spec | {"schedulerName": "none"}}),
            ("apis/apps/v1", "replicasets", {"spec": {**replicas, "template": template}}),
            ("api/v1", "configmaps", {"data": {"text": TEXT, "values.yaml": f"image: {image}\n"}}),
            (f"apis/{GROUP}/v1", PLURAL, {"apiVersion": f"{GROUP}/v1", "kind": KIND, "spec": {"template": template}}),
        ):
            yield f"/{group}/namespaces/default/{plural}", {"metadata": {"name": f"many-{number}"}, **rest}


def _pod_spec(image: str) -> dict[str, Any]:
    env = [{"name": f"SETTING_{number}", "value": f"value {number}"} for number in range(20)]
    mounts = [{"name": "data", "mountPath": "/data"}]
    container = {"name": "app", "image": image, "env": env, "volumeMounts": mounts, "args": ["serve", "--port=8080"]}
    return {"containers": [container], "volumes": [{"name": "data", "emptyDir": {}}]}


def _definition() -> dict[str, Any]:
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return {
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"plural": PLURAL, "kind": KIND},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        },
    }
