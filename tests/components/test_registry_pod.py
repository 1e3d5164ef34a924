"""The check of a bucket before a pod starts: its shell program, with stand-ins for the programs that it runs."""

import os
import subprocess
from pathlib import Path

from components.registry_pod import deployment_spec
from kube_registry.spec.sections import S3Settings
from kube_registry.spec.settings import RegistrySettings

PROGRAMS = {
    "registry": "echo s3aws: NoSuchBucket >&2; exec tail --follow --pid=$PPID /dev/null >/dev/null 2>&1",
    "wget": 'case "$*" in *_catalog*) exit 1;; esac',
}


def test_its_own_line_follows_those_of_the_registry_on_one_stream(tmp_path: Path) -> None:
    """The first line of the driver counts, and a log keeps the order of lines only within a stream."""
    for name, text in PROGRAMS.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o700)
    s3 = S3Settings(bucket="my-bucket", region="eu-central-1")
    settings = RegistrySettings(kube_context="here", push_port=21000, s3=s3)
    (check,) = deployment_spec(settings)["template"]["spec"]["initContainers"]
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = subprocess.run(check["command"], env={"PATH": path}, capture_output=True, text=True, timeout=10, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert [line.split()[1] for line in done.stderr.splitlines()] == ["NoSuchBucket", "RequestCanceled:"]
