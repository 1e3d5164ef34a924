from pathlib import Path

import pytest

from lab import cluster, demo, docker_engine, spec


class TestDown:
    def test_the_state_goes_although_the_cluster_is_gone_already(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """It would keep the next `make up` from the new cluster, which is another one."""
        backend = tmp_path / "pulumi"
        stack = backend / ".pulumi" / "stacks" / "kube-registry" / "dev.json"
        stack.parent.mkdir(parents=True)
        stack.touch()
        monkeypatch.setattr(demo, "BACKEND", backend)
        monkeypatch.setattr(spec, "names", list)
        monkeypatch.setattr(docker_engine, "down", lambda *_: None)  # the machine's own engines stay up
        assert cluster.clusters() == []
        demo.down()
        assert not stack.exists()
