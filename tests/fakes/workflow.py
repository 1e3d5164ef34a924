"""The workflows' own shell steps, read from their files and run as a runner does, with a `gh` that keeps comments."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

CHECKOUT = Path(__file__).parents[2]
WORKFLOWS = sorted((CHECKOUT / ".github" / "workflows").glob("*.yml"))

_GH = f"""#!{sys.executable}
import json, re, sys
from pathlib import Path

kept = Path(__file__).with_name("comments.json")
comments = json.loads(kept.read_text()) if kept.exists() else []
words = sys.argv[1:]
place = next(word for word in words if word.startswith("repos/"))
if "--method" not in words:
    mark = re.search(r'startswith\\("(.*)"\\)', words[words.index("--jq") + 1])[1]
    for comment in comments:
        if comment["type"] == "Bot" and comment["body"].startswith(mark):
            print(comment["id"])
    sys.exit()
body = Path(words[words.index("--field") + 1].removeprefix("body=@")).read_text()
if words[words.index("--method") + 1] == "POST":
    comments.append({{"id": 1000 + len(comments), "type": "Bot", "body": body}})
else:
    (found,) = [each for each in comments if each["id"] == int(place.rpartition("/")[2])]
    found["body"] = body
kept.write_text(json.dumps(comments))
"""


def job(workflow: str) -> dict[str, Any]:
    """The only job of a workflow."""
    read = yaml.safe_load((CHECKOUT / ".github" / "workflows" / f"{workflow}.yml").read_text())
    (only,) = read["jobs"].values()
    return dict(only)


def run_step(workflow: str, name: str, folder: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a step's shell lines with the shell that GitHub's runner would take."""
    described = job(workflow)
    (step,) = [step for step in described["steps"] if step.get("name") == name]
    chosen = described.get("defaults", {}).get("run", {}).get("shell") == "bash"
    shell = ["bash", "--noprofile", "--norc", "-eo", "pipefail"] if chosen else ["bash", "-e"]
    return subprocess.run(
        [*shell, "-c", step["run"]], cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=False
    )


def with_gh(place: Path, env: Mapping[str, str] = os.environ) -> dict[str, str]:
    """An environment that has a `gh` in `place`, and what a runner sets beside it."""
    (place / "gh").write_text(_GH)
    (place / "gh").chmod(0o755)
    runner = {"GITHUB_REPOSITORY": "me/shop", "PULL_REQUEST": "7", "GITHUB_BASE_REF": "main", "GH_TOKEN": "of-the-run"}
    return {**env, **runner, "PATH": f"{place}:{env['PATH']}"}


def comments(place: Path) -> list[dict[str, Any]]:
    """What the `gh` in `place` has kept."""
    return list(json.loads((place / "comments.json").read_text()))
