"""The package for other languages: its schema from a copied folder, and the examples of docs/your-program.md."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from lab.gobuild import MODULES
from lab.parts import PACKAGE_SDK, PULUMI
from lab.toolchain import build, tool
from tests.e2e.conftest import CHECKOUT

PAGE = (CHECKOUT / "docs" / "your-program.md").read_text()
GOLDEN = CHECKOUT / "tests" / "golden" / "package-schema.json"
NPM = ("@pulumi/pulumi@3.276.0", "typescript@5.9.3", "@types/node@20")
GO_MODULE = "example.com/pulumi-kube-registry/sdk/go"
GO_FLAGS = ("-mod=mod", "-trimpath", "-buildvcs=false", "-gcflags=all=-dwarf=false")
"""The lab builds Pulumi with the same: Go's cache has most of it."""


def run(command: Sequence[object], folder: Path, *, seconds: float = 120, **env: str) -> str:
    """What a command prints, which has to succeed."""
    words = [str(word) for word in command]
    done = subprocess.run(
        words, cwd=folder, env={**os.environ, **env}, capture_output=True, text=True, timeout=seconds, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def example(language: str) -> str:
    """The one code block of a language in docs/your-program.md."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


def without_empty(node: object) -> Any:  # noqa: ANN401 - JSON
    """A schema without what says nothing: Pulumi leaves it out, and what an element of a map or list says of itself."""
    if isinstance(node, Mapping):
        kept = {key: without_empty(value) for key, value in node.items()}
        for elements in (kept.get("additionalProperties"), kept.get("items")):
            if isinstance(elements, dict):
                elements.pop("description", None)
        return {key: value for key, value in kept.items() if value not in ({}, [])}
    return node


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `pulumi package get-schema` reads of the package.

    From an executable, because the lab's old language host of Python starts no folder.
    """
    build(PULUMI)
    folder = tmp_path_factory.mktemp("package")
    left_out = shutil.ignore_patterns("__pycache__", ".venv")
    for name in ("components", "kube_registry"):
        shutil.copytree(CHECKOUT / name, folder / name, ignore=left_out)
    plugin = folder / "pulumi-resource-kube-registry"
    plugin.write_text(f'#!/bin/sh\nexec {sys.executable} {folder / "components"} "$@"\n')
    plugin.chmod(0o755)
    read = run([tool("pulumi"), "package", "get-schema", plugin], folder, PULUMI_HOME=str(folder / "home"))
    (folder / "schema.json").write_text(read)
    return folder / "schema.json"


def test_pulumi_reads_the_schema_that_is_committed(schema: Path) -> None:
    assert without_empty(json.loads(schema.read_text())) == without_empty(json.loads(GOLDEN.read_text()))


def test_the_example_in_typescript_has_the_types_of_its_sdk(schema: Path, tmp_path: Path) -> None:
    if not shutil.which("npm"):
        pytest.skip("npm is not on PATH")
    build(PACKAGE_SDK)
    run([tool("pulumi-package-sdk"), schema, "nodejs", tmp_path / "sdk"], tmp_path)
    name = json.loads((tmp_path / "sdk" / "package.json").read_text())["name"]
    options = {"strict": True, "noEmit": True, "skipLibCheck": True, "target": "es2022", "module": "commonjs"}
    options |= {"moduleResolution": "node", "types": ["node"], "baseUrl": ".", "paths": {name: ["./sdk/index.ts"]}}
    (tmp_path / "tsconfig.json").write_text(json.dumps({"compilerOptions": options, "files": ["index.ts"]}))
    (tmp_path / "package.json").write_text('{"private": true}')
    run(["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", *NPM], tmp_path)
    (tmp_path / "index.ts").write_text(example("typescript"))
    run(["node_modules/.bin/tsc", "--project", "."], tmp_path)


@pytest.mark.timeout(900)  # where Go's cache is empty, it compiles Pulumi's SDK
def test_the_example_in_go_compiles_with_its_sdk(schema: Path, tmp_path: Path) -> None:
    build(PACKAGE_SDK)
    for name in ("go.mod", "go.sum"):
        shutil.copy(MODULES / "pulumi-package-sdk" / name, tmp_path / name)
    run([tool("pulumi-package-sdk"), schema, "go", tmp_path / "sdk"], tmp_path)
    assert (tmp_path / "sdk" / "go.mod").read_text().startswith(f"module {GO_MODULE}\n")
    run(["go", "mod", "edit", f"-require={GO_MODULE}@v0.0.0", f"-replace={GO_MODULE}=./sdk"], tmp_path)
    (tmp_path / "main.go").write_text(example("go"))
    build_it = ["go", "build", *GO_FLAGS, "-o", os.devnull, "."]
    run(build_it, tmp_path, seconds=800, CGO_ENABLED="0", GOWORK="off")
