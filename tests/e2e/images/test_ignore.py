"""The rules of .dockerignore on hard cases, beside what `docker build` sends."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from kube_registry.build.dockerignore import context_paths
from tests.conftest import Lab
from tests.e2e.docker_build import docker_build, files_of

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("buildx")]

FILES = (
    "README.md",
    "a.txt",
    "b.pyc",
    "a+b(c).txt",
    "a^b",
    "[x",
    "temp1",
    ".hidden/file",
    "docs/README.md",
    "docs/keep/a",
    "docs/keep/deep/b.md",
    "docs-old/a.txt",
    "node_modules/x/y.js",
    "web/node_modules/z.js",
    "web/src/b.pyc",
    "web/src/a.txt",
)
FOLDERS = ("empty", "docs/empty")
LINKS = {"latest": "docs", "web/gone": "nowhere"}

CASES = {
    "nothing": "",
    "comments and blanks": "# a.txt\n\n # no comment\n  a.txt  \n",
    "byte order mark": "\ufeffa.txt\n",
    "carriage returns": "a.txt\r\n*.md\r\n",
    "blanks that are not ASCII": "a.txt\u3000\n\u2003*.md\u00a0\n",
    "a name is of the top": "node_modules\n",
    "a name at any depth": "**/node_modules\n",
    "a star stays in its folder": "*.md\n",
    "a star for a folder": "*/*.md\n",
    "stars for none or more folders": "**/*.md\n",
    "all in a folder but itself": "docs/**\n",
    "stars behind a name": "docs**\n",
    "stars in the middle": "docs/**/b.md\n",
    "ends with": "**.pyc\n",
    "ends with a star": "**c*\n",
    "question mark": "temp?\n",
    "brackets": "[ab].*\n",
    "brackets that are not": "[^ab].*\n",
    "a bracket in brackets": "[[]x\n",
    "signs of regular expressions": "a+b(c).txt\na^b\n",
    "escaped": "\\[x\n\\*.md\n",
    "slashes around": "/docs/\n",
    "dots in a path": "./docs/../web\n",
    "dot": ".\n",
    "slash": "/\n",
    "hidden": ".*\n",
    "back from all": "*\n!docs/keep\n",
    "a file back from all": "*\n!web/src/a.txt\n",
    "back and gone again": "*.md\n!README.md\nREADME.md\n",
    "back from a folder": "docs\n!docs/keep\n",
    "back by a star": "docs\n!docs/*/a\n",
    "back by a pattern that does not begin with the folder": "docs\n!**/a\n",
    "back by a star for the folder": "docs\n!*/keep\n",
    "back with blanks and a slash": "docs\n! /docs/keep/\n",
    "back, and a part of it gone": "docs\n!docs/keep\ndocs/keep/deep\n",
    "back from stars": "**\n!docs/**\n",
    "back from all by a star": "*\n!web/*/a.txt\n",
    "back from all at any depth": "*\n!**/*.md\n",
    "back from stars at any depth": "**\n!**/*.js\n",
    "back from below a name": "*\n!docs/**/*.md\n",
    "back from all in a folder": "*\n!docs/*\n",
    "back from all below a folder, and a part gone": "*\n!docs/**\ndocs/keep\n",
    "back by a question mark": "docs\n!d?cs/keep\n",
    "a link": "latest\n",
    "what a link leads to": "docs\n!latest\n",
    "an empty folder": "empty\n",
    "itself and the Dockerfile": "*\n",
    "the Dockerfile by name": "Dockerfile\n.dockerignore\n",
}


def make_context(folder: Path, ignore: str) -> Path:
    for file in FILES:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(file)
    for name in FOLDERS:
        (folder / name).mkdir()
    for link, target in LINKS.items():
        (folder / link).symlink_to(target)
    (folder / "Dockerfile").write_text('FROM scratch\nCOPY . /context/\nCMD ["/none"]\n')
    (folder / ".dockerignore").write_text(ignore, newline="")
    return folder


def copied(lab: Lab, context: Path) -> set[str]:
    """What `COPY .` copies."""
    image = f"ignored-{uuid.uuid4().hex}"
    # With its cache, a build may stand on an image that another one is just removing.
    done = docker_build(lab, image, context, "--no-cache")
    assert done.returncode == 0, done.stderr
    return files_of(lab, image, "/context").keys() - {""}


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {case: make_context(tmp_path_factory.mktemp("context"), text) for case, text in CASES.items()}


@pytest.fixture(scope="module")
def sent(lab: Lab, contexts: dict[str, Path]) -> dict[str, set[str]]:
    """What Docker makes of every case, several at a time."""
    with ThreadPoolExecutor(4) as pool:
        return dict(zip(contexts, pool.map(partial(copied, lab), contexts.values()), strict=True))


@pytest.mark.parametrize("case", CASES)
def test_what_counts_is_what_docker_sends(sent: dict[str, set[str]], contexts: dict[str, Path], case: str) -> None:
    assert set(context_paths(contexts[case], contexts[case] / "Dockerfile")) == sent[case]


@pytest.mark.parametrize("text", ["[\n", "[]\n", "[a-]\n", "a\\\n", "!\n", "[z-a]\n"])
def test_a_pattern_that_is_none_is_none_to_docker(lab: Lab, tmp_path: Path, text: str) -> None:
    context = make_context(tmp_path, text)
    with pytest.raises(ValueError, match="'"):
        context_paths(context, context / "Dockerfile")
    for _ in range(5):
        done = docker_build(lab, "ignored", context)
        assert done.returncode != 0
        if "context canceled" not in done.stderr:  # its two ends race: one has the reason, the other only that it ended
            break
    assert "pattern" in done.stderr
