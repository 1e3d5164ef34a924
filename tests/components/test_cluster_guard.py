"""Two previews of the whole program, one after the other, with an API server that is another one the second time."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pulumi
import pytest

from tests.components.test_program import CONFIG, Registered, described
from tests.components.test_volume_guard import Keeping, first_run


@contextmanager
def cluster(file: Path, uid: str | None) -> Iterator[None]:
    """An API server that a kubeconfig leads to; it forbids to see kube-system if that has no uid."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = uid and self.path == "/api/v1/namespaces/kube-system"
            body = json.dumps({"metadata": {"uid": uid}} if found else {"kind": "Status", "message": "no"}).encode()
            self.send_response(200 if found else 403)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Be silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        kubeconfig = {
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
            "users": [{"name": "u", "user": {}}],
            "contexts": [{"name": "nowhere", "context": {"cluster": "c", "user": "u"}}],
        }
        file.write_text(json.dumps(kubeconfig))
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def two_runs(folder: Path, first: str | None, second: str | None) -> None:
    file = folder / "kubeconfig"
    config = {**CONFIG, "kube-registry:kubeconfig": str(file)}
    with cluster(file, first):
        before = first_run(config)
    with cluster(file, second), described(Keeping(Registered(), before), config):
        pass


@pytest.mark.parametrize(("first", "second"), [("a", "a"), ("a", None), (None, "a")])
def test_the_same_cluster_and_one_that_is_not_known_are_no_difference(
    tmp_path: Path, first: str | None, second: str | None
) -> None:
    two_runs(tmp_path, first, second)


def test_a_stack_that_does_not_know_its_cluster_says_so_once_it_could(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", lambda line, *_: said.append(line))
    two_runs(tmp_path, None, None)
    assert said == []
    two_runs(tmp_path, None, "a")
    (line,) = said
    assert "`pulumi up --stack dev --run-program --replace '" in line
    assert "Stash::cluster-uid'`" in line


def test_another_cluster_is_refused(tmp_path: Path) -> None:
    with pytest.raises(pulumi.RunError) as refused:
        two_runs(tmp_path, "uid-a", "uid-b")
    for part in ("uid-a", "uid-b", "kube context 'nowhere'", "Stash::cluster-uid"):
        assert part in str(refused.value)
