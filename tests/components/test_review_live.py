"""Faults of an update, against the recording monitor."""
import json
from typing import Any
import asyncio
import pulumi, pytest
import pulumi_kubernetes as kubernetes
from pulumi.runtime import mocks, settings
import components.cluster_registry as cr
import components.volume_guard as vg
from components.cluster_registry import ClusterRegistry
from components.cluster import cluster_of
from kube_registry.push.push_path import PushPath
from tests.components.test_library import CONTENTS
from tests.components.test_program import Monitor, Registered, Engine, PROGRAM


def live(program, uid="this-uid", kept="other-uid"):
    record = Registered()
    loop = asyncio.new_event_loop(); loop.set_exception_handler(lambda *_: None)
    asyncio.set_event_loop(loop)
    class Eng(Engine):
        def new_resource(self, args):
            id_, out = super().new_resource(args)
            if args.typ == "pulumi:index:Stash": out["output"] = kept
            return id_, out
    monitor = Monitor(record); monitor.mocks = Eng()
    before = settings.SETTINGS; settings.ROOT.set(None)
    mocks.set_mocks(Eng(), project="kube-registry", stack="dev", preview=False, monitor=monitor, organization="o")
    pulumi.runtime.set_all_config({}, [])
    error = None
    with pytest.MonkeyPatch.context() as mp:
        mp.chdir(PROGRAM.parent); mp.setenv("DOCKER_HOST", "ssh://nowhere")
        async def fake(*a, **k): return uid
        async def ready(self, say): return None
        mp.setattr(vg, "cluster_uid", fake); mp.setattr(cr, "prove_preconditions", lambda _: None); mp.setattr(PushPath, "ready", ready)
        @pulumi.runtime.test
        def run(): return program()
        try: run()
        except BaseException as e: error = e
    settings.configure(before)
    return record, error


def kinds(record): return [e.type for e in record.requests if e.type.startswith("kubernetes:")]


def test_own_provider_other_cluster_registers_nothing():
    record, error = live(lambda: ClusterRegistry("registry", kube_context="prod") and None)
    assert error is not None and kinds(record) == []


def test_brought_provider_other_cluster_registers_nothing():
    def program():
        k = kubernetes.Provider("mine", context="prod")
        ClusterRegistry("registry", kube_context="prod", opts=pulumi.ResourceOptions(providers=[k]))
    record, error = live(program)
    print(repr(error)[:300], kinds(record))
    assert error is not None and kinds(record) == []


def test_other_cluster_error_names_a_real_context():
    record, error = live(lambda: ClusterRegistry("registry", kubeconfig=CONTENTS) and None)
    print(error)
    assert "kube-registry-dev-registry" not in str(error)


def test_known_unknown_loop():
    async def later():
        await asyncio.sleep(0.01)
        return CONTENTS
    record, error = live(lambda: ClusterRegistry("registry", kubeconfig=pulumi.Output.from_input(later())) and None, kept="this-uid")
    print(repr(error)); assert error is None and kinds(record)


def test_output_dict():
    seen = []
    def program():
        r = ClusterRegistry("registry", kubeconfig=pulumi.Output.from_input(json.loads(CONTENTS)))
        async def see(_):
            seen.append((await r.cluster.address()).kubeconfig)
        r.namespace.apply(see)
    record, error = live(program, kept="this-uid")
    print(repr(error), seen); assert seen and json.loads(seen[0])


def test_output_path_with_home():
    from pulumi.runtime import rpc
    record, error = live(lambda: ClusterRegistry("registry", kubeconfig=pulumi.Output.from_input("~/cfg")) and None, kept="this-uid")
    (p,) = [rpc.deserialize_properties(e.object) for e in record.requests if e.type == "pulumi:providers:kubernetes"]
    print(repr(error)[:600], p["kubeconfig"])


def test_image_with_a_docker_provider_of_its_own():
    import pulumi_docker as docker
    from components.registry_image import RegistryImage
    from tests.components.test_library import registered
    def program(how):
        r = ClusterRegistry("registry", kube_context="prod")
        d = docker.Provider("mine-d")
        if how == "provider": o = pulumi.ResourceOptions(provider=d)
        elif how == "providers": o = pulumi.ResourceOptions(providers=[d])
        elif how == "dict": o = pulumi.ResourceOptions(providers={"docker": d})
        else:
            class P(pulumi.ComponentResource):
                def __init__(self): super().__init__("t:i:P", "p", opts=pulumi.ResourceOptions(providers=[d]))
            o = pulumi.ResourceOptions(parent=P())
        RegistryImage("app", registry=r, context="./app", opts=o)
    for how in ("provider", "providers", "dict", "parent"):
        rec = registered(lambda: program(how))
        print("IMG", how, [e.provider.split("::")[3] for e in rec.requests if e.type.startswith("docker:")])


def test_registry_providers_how():
    import pulumi_docker as docker
    from tests.components.test_library import registered
    def program(how):
        k = kubernetes.Provider("mine", context="prod")
        if how == "provider": o = pulumi.ResourceOptions(provider=k)
        elif how == "providers": o = pulumi.ResourceOptions(providers=[k])
        elif how == "dict": o = pulumi.ResourceOptions(providers={"kubernetes": k})
        else:
            class P(pulumi.ComponentResource):
                def __init__(self): super().__init__("t:i:P", "p", opts=pulumi.ResourceOptions(providers=[k]))
            o = pulumi.ResourceOptions(parent=P())
        ClusterRegistry("registry", kube_context="prod", images={"app": {"context": "./app"}}, opts=o)
    for how in ("provider", "providers", "dict", "parent"):
        rec = registered(lambda: program(how))
        print("REG", how, {e.provider.split("::")[3] for e in rec.requests if "::" in e.provider})
