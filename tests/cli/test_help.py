"""Help is there at once: what a verb needs is imported when the verb runs."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = {"aiohttp", "docker", "grpc", "pulumi", "pulumi_docker", "pulumi_kubernetes", "requests"}
SEE = """
import atexit, sys
atexit.register(lambda: print(*sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr))
from kube_registry.cli.app import main
main()
"""


def imported(*words: str) -> set[str]:
    """Packages that are imported when the help has been printed."""
    command = [sys.executable, "-c", SEE, *words, "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.startswith("Usage: registryctl")
    return set(done.stderr.split())


@pytest.mark.parametrize("words", [(), ("fleet",)])
def test_help_imports_nothing_that_takes_long(words: tuple[str, ...]) -> None:
    assert not imported(*words) & (HEAVY | {"jinja2", "rich", "yaml"})


def test_help_does_without_the_settings() -> None:
    """Pydantic's models take a quarter of a second; Typer itself imports it for a verb, where it is installed."""
    assert "pydantic" not in imported()


@pytest.mark.parametrize("verb", ["tunnel", "doctor", "gc", "dev"])
def test_the_help_of_a_verb_does_without_pulumi_and_docker(verb: str) -> None:
    assert not imported(verb) & {"pulumi", "grpc", "docker", "requests", "watchfiles"}
