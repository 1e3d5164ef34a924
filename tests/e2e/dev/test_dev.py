"""`registryctl dev` on a real cluster: saved files, pods on both nodes, faults and the end."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from tests.e2e.conftest import Lab, Program
from tests.e2e.dev.conftest import END_SECONDS, Developing, developing, digest, digests_in_pods, runs_in_pods

pytestmark = pytest.mark.lab

LINE = re.compile(
    r"^\d\d:\d\d:\d\d  app/site/version: app built in \d+\.\d s, pushed in \d+\.\d s, in 2 pods after \d+\.\d s$",
    re.MULTILINE,
)
VERSION = Path("app/site/version")


@pytest.fixture(scope="module")
def dev(developed: Program) -> Iterator[Developing]:
    """Without a terminal, after the first update."""
    with developing(developed) as running:
        running.wait_for("start: app built")
        yield running


def edit(program: Program, text: str) -> None:
    (program.folder / VERSION).write_text(f"{text}\n")


def nothing_to_do(program: Program) -> bool:
    """Whether `pulumi up` by hand changes nothing."""
    return program.up().keys() == {"same"}


class TestChanges:
    def test_the_first_update_deploys_and_names_no_key(self, lab: Lab, dev: Developing) -> None:
        assert "keys:" not in dev.text
        assert digests_in_pods(lab) == [digest(dev.program)]

    def test_a_saved_file_runs_on_both_nodes_and_nothing_is_left_to_do(self, lab: Lab, dev: Developing) -> None:
        before = digest(dev.program)
        edit(dev.program, "one")
        assert LINE.search(dev.wait_for("app/site/version: "))
        assert digests_in_pods(lab) == [digest(dev.program)] != [before]
        assert nothing_to_do(dev.program)

    def test_an_ignored_file_is_no_change(self, dev: Developing) -> None:
        before = dev.text.count("\n")
        (dev.program.folder / "app" / "today.log").write_text("ignored")
        edit(dev.program, "two")
        dev.wait_for("app/site/version: ", 2)
        assert dev.text.count("\n") == before + 1
        assert "today.log" not in dev.text

    def test_an_error_of_the_program_is_shown_in_full_and_its_correction_works(self, dev: Developing) -> None:
        main = dev.program.folder / "__main__.py"
        good = main.read_text()
        main.write_text(f"{good}\ndef (\n")
        text = dev.wait_for("SyntaxError: invalid syntax")
        assert "__main__.py: failed after " in text
        assert "Traceback (most recent call last):" in text
        main.write_text(good)
        dev.wait_for("__main__.py: nothing to do")

    def test_a_change_during_an_update_is_not_lost(self, lab: Lab, dev: Developing) -> None:
        seen = dev.text.count("app/site/version: ")
        edit(dev.program, "early")
        dev.until(dev.busy, lambda: "no update")
        edit(dev.program, "late")
        dev.wait_for("app/site/version: ", seen + 2)
        assert digests_in_pods(lab) == [digest(dev.program)]
        assert nothing_to_do(dev.program)

    def test_an_edit_of_the_components_is_in_the_next_update(self, dev: Developing) -> None:
        part = dev.program.folder / "kube_registry" / "components" / "registry_image.py"
        with part.open("a") as file:
            file.write("\nEDITED = 'yes'\n")
        dev.wait_for("registry_image.py: nothing to do")
        assert dev.program.output("edited") == "yes"

    def test_a_build_context_that_is_replaced_is_still_watched(self, lab: Lab, dev: Developing) -> None:
        app = dev.program.folder / "app"
        shutil.copytree(app, app.with_name("kept"))
        shutil.rmtree(app)
        app.with_name("kept").rename(app)
        for text in ("replaced", "replaced again"):
            edit(dev.program, text)
            dev.until(partial(runs_in_pods, lab, text), lambda: dev.text)
        dev.until(lambda: not dev.busy(), lambda: dev.text)
        assert nothing_to_do(dev.program)

    def test_a_failed_build_shows_what_it_has_printed(self, dev: Developing) -> None:
        dockerfile = dev.program.folder / "app" / "Dockerfile"
        good = dockerfile.read_text()
        dockerfile.write_text(f"{good}\nUSER 0\nRUN echo these-words; exit 3\n")
        text = dev.wait_for("app/Dockerfile: failed after")
        dev.until(lambda: "these-words" in dev.text.partition("app/Dockerfile: failed after")[2], lambda: text)
        dockerfile.write_text(good)
        dev.wait_for("app/Dockerfile: ", 2)

    def test_the_correction_of_an_image_that_does_not_run_is_not_held_up(self, lab: Lab, dev: Developing) -> None:
        dockerfile = dev.program.folder / "app" / "Dockerfile"
        good = dockerfile.read_text()
        dockerfile.write_text(f'{good}\nCMD ["/missing"]\n')
        text = dev.wait_for("web is not ready: ")
        assert re.search(r"web is not ready: container web of pod library-\w+: .+; the next change", text), text
        dockerfile.write_text(good)
        corrected = dev.wait_for("without ready pods").count("app/Dockerfile: app built")
        dev.wait_for("app/Dockerfile: app built", corrected + 1)
        assert digests_in_pods(lab) == [digest(dev.program)]
        assert nothing_to_do(dev.program)

    def test_containers_that_end_at_once_are_not_called_ready(self, lab: Lab, dev: Developing) -> None:
        """They are ready for a moment, in which Pulumi may end its own wait."""
        dockerfile = dev.program.folder / "app" / "Dockerfile"
        good, known = dockerfile.read_text(), dev.text.count("container web of pod library-")
        dockerfile.write_text(f'{good}\nCMD ["false"]\n')
        line = dev.wait_for("container web of pod library-", known + 1).splitlines()[-1]
        assert "in 2 pods after" not in line
        ready = dev.text.count("in 2 pods after")
        dockerfile.write_text(good)
        dev.wait_for("in 2 pods after", ready + 1)
        assert digests_in_pods(lab) == [digest(dev.program)]
        assert nothing_to_do(dev.program)

    def test_ctrl_c_ends_it(self, dev: Developing) -> None:
        assert dev.end() < END_SECONDS


class TestEnd:
    def test_in_the_middle_of_a_build(self, developed: Program) -> None:
        dockerfile = developed.folder / "app" / "Dockerfile"
        good = dockerfile.read_text()
        try:
            with developing(developed) as dev:
                dev.wait_for("start: ")
                dockerfile.write_text(f"{good}\nUSER 0\nRUN sleep 30\n")
                dev.until(lambda: building(developed), lambda: "no build")
                assert dev.end() < END_SECONDS
        finally:
            dockerfile.write_text(good)  # the tests after this one build it, too
        developed.up()
        assert nothing_to_do(developed)

    def test_in_the_middle_of_a_push(self, developed: Program) -> None:
        large = developed.folder / "app" / "site" / "large"
        with developing(developed, terminal=True) as dev:
            dev.wait_for("start: ")
            large.write_bytes(os.urandom(100_000_000))
            dev.wait_for("push: ")
            assert dev.end() < END_SECONDS
        developed.up()
        assert nothing_to_do(developed)
        large.unlink()


def building(program: Program) -> bool:
    """Whether the stage of the Dockerfile that sleeps is there, and its update has not ended."""
    for folder, _, names in os.walk(program.folder / ".kube-registry" / "stages"):  # stages come and go meanwhile
        with suppress(FileNotFoundError):
            if "Dockerfile" in names and "sleep 30" in Path(folder, "Dockerfile").read_text():
                return True
    return False


class TestKeys:
    def test_keys(self, lab: Lab, developed: Program) -> None:
        with developing(developed, terminal=True) as dev:
            dev.wait_for("keys: ")
            dev.wait_for("start: ")
            dev.press("b")
            dev.wait_for("rebuild: app built in")
            dev.press("r")
            dev.wait_for("refresh: nothing to do")
            edit(developed, "for its logs")
            dev.wait_for("app/site/version: app built in")
            dev.press("l")
            for pod in lab.get("pods", "--namespace", "default", "--selector", "app.kubernetes.io/name=library"):
                dev.wait_for(f"default/{pod['metadata']['name']} web:")
            dockerfile = developed.folder / "app" / "Dockerfile"
            good = dockerfile.read_text()
            dockerfile.write_text(f'{good}\nCMD ["sh", "-c", "echo why; exit 1"]\n')
            built = dev.wait_for("container web of pod library-").count("app/Dockerfile: app built in")
            dev.press("l")
            dev.wait_for(" web:\nwhy\n")
            dockerfile.write_text(good)
            dev.wait_for("app/Dockerfile: app built in", built + 1)
            assert dev.end(lambda: dev.press("q")) < END_SECONDS


class TestStacks:
    def test_two_stacks_are_updated_at_once(self, lab: Lab, program: Program) -> None:
        (program.folder / "fleet.yaml").write_text(
            f"defaults: {{kubeContext: {lab.cluster.kube_context}, images: {{app: {{context: ./app}}}}}}\n"
            "stacks:\n"
            "- {name: dev-a, namespace: one, nodePort: 30101}\n"
            "- {name: dev-b, namespace: two, nodePort: 30102}\n"
        )
        with developing(program, "--stacks", "dev-*") as dev:
            for stack in ("dev-a", "dev-b"):
                dev.wait_for(f"{stack}  start: app built")
            edit(program, "both")
            for stack in ("dev-a", "dev-b"):
                dev.wait_for(f"{stack}  app/site/version: app built")
            assert dev.end() < END_SECONDS
        for stack in ("dev-a", "dev-b"):
            program.run("pulumi", "destroy", "--yes", "--skip-preview", "--stack", stack)
