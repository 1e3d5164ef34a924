"""Tags in the Docker daemon: an update that has pushed an image removes the tag that the image had before."""

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import docker
import pytest

from kube_registry.docker_daemon.errors import LocalTagError
from tests.e2e.commands import commands_of, paste
from tests.e2e.conftest import CHECKOUT, Lab, Program, settings_of
from tests.e2e.program.test_faults import no_more_manifests

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def client(lab: Lab) -> Iterator[docker.DockerClient]:
    with closing(docker.DockerClient(base_url=lab.env["DOCKER_HOST"])) as opened:
        yield opened


@pytest.fixture(scope="module")
def source(lab: Lab, client: docker.DockerClient, deployed: Program) -> Path:
    """A file of the image; the daemon has only its current tag, and no longer those of the stack of earlier tests."""
    for tag in tags_of(lab, client) - {tag_of(deployed)}:
        client.images.remove(settings_of(lab).endpoints.push_name("app", tag), force=True)
    return deployed.folder / "app" / "site" / "version"


def tags_of(lab: Lab, client: docker.DockerClient, repository: str = "app") -> set[str]:
    """The tags of the stack's repository that the daemon has; an image may have tags of other stacks, too."""
    name = f"{settings_of(lab).endpoints.push_address}/{repository}"
    tags = [tag for image in client.images.list(name) for tag in image.tags]
    return {tag.removeprefix(f"{name}:") for tag in tags if tag.startswith(f"{name}:")}


def tag_of(program: Program) -> str:
    """The tag that the stack deploys."""
    return str(program.output("tagged")["app"].rpartition(":")[2])


def edit(program: Program, source: Path, text: str) -> str:
    """Save a file of the image, and update; the tag that came of it."""
    source.write_text(text)
    assert program.up()["update"] == 1
    return tag_of(program)


def test_three_edits_leave_one_tag_and_a_revert_brings_the_first_one_back(
    lab: Lab, program: Program, source: Path, client: docker.DockerClient
) -> None:
    built, run = {}, uuid4().hex  # another run with the same content would have the same images
    for text in ("1", "2", "3"):
        tag = edit(program, source, text + run)
        built[tag] = client.images.get(settings_of(lab).endpoints.push_name("app", tag)).id
    assert tags_of(lab, client) == {tag}
    assert {image.id for image in client.images.list(all=True)} & set(built.values()) == {built[tag]}
    first = next(iter(built))
    assert edit(program, source, f"1{run}") == first
    assert tags_of(lab, client) == {first}
    assert set(program.preview()) == {"same"}


def test_the_tag_of_a_container_stays_and_fails_nothing(
    lab: Lab, program: Program, source: Path, client: docker.DockerClient
) -> None:
    used = edit(program, source, "used\n")
    container = client.containers.create(settings_of(lab).endpoints.push_name("app", used), ["none"])
    try:
        new = edit(program, source, "new\n")
        assert tags_of(lab, client) == {used, new}
    finally:
        container.remove()
    left = LocalTagError(host="", name=settings_of(lab).endpoints.push_name("app", used), reason="")
    program.paste(commands_of(left))
    assert tags_of(lab, client) == {new}


def test_the_tag_of_another_stack_with_the_same_content_stays(
    lab: Lab, program: Program, source: Path, client: docker.DockerClient
) -> None:
    own, theirs = settings_of(lab).endpoints.push_name("app", tag_of(program)), "localhost:1/app"
    client.images.get(own).tag(theirs, "of-another-stack")
    edit(program, source, "mine\n")
    assert tags_of(lab, client) == {tag_of(program)}
    assert client.images.get(f"{theirs}:of-another-stack").tags == [f"{theirs}:of-another-stack"]
    client.images.remove(f"{theirs}:of-another-stack")


def test_a_failed_push_leaves_the_tag_and_the_update_that_repairs_it_does_not(
    lab: Lab, program: Program, source: Path, client: docker.DockerClient
) -> None:
    before = edit(program, source, "before\n")
    source.write_text("failed\n")
    with no_more_manifests(lab):
        assert "the push failed: " in program.failing_up()
    assert before in tags_of(lab, client)
    assert program.up()["update"] == 1
    assert tags_of(lab, client) == {tag_of(program)} != {before}


def test_the_setting_keeps_all_tags(lab: Lab, program: Program, source: Path, client: docker.DockerClient) -> None:
    before = tag_of(program)
    with program.changed({"keepLocalTags": "true"}):
        tags = {before, edit(program, source, "kept 1\n"), edit(program, source, "kept 2\n")}
    assert len(tags) == 3
    assert tags_of(lab, client) == tags


def test_the_command_of_the_docs_removes_all_tags_of_the_stack(
    lab: Lab, program: Program, client: docker.DockerClient
) -> None:
    assert tags_of(lab, client)
    (command,) = re.findall(r"^docker rmi .*$", (CHECKOUT / "docs" / "builds.md").read_text(), re.MULTILINE)
    paste(command.replace("localhost:21000", settings_of(lab).endpoints.push_address), program.folder, lab.env)
    assert tags_of(lab, client) == set()
    assert set(program.preview()) == {"same"}
