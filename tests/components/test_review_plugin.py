"""What a plugin answers to Construct: by the SDK's own servicer over gRPC, with a monitor that records."""

import asyncio
import logging
import os
import sys
from concurrent import futures
from typing import Any

import grpc
import pytest
import pulumi
from google.protobuf import struct_pb2
from pulumi.provider.server import ProviderServicer
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc, resource_pb2, resource_pb2_grpc, engine_pb2, engine_pb2_grpc
from google.protobuf import empty_pb2


class Mon(resource_pb2_grpc.ResourceMonitorServicer):
    def __init__(self) -> None:
        self.seen: list[Any] = []
    def SupportsFeature(self, request, context):
        return resource_pb2.SupportsFeatureResponse(hasSupport=True)
    def RegisterResource(self, request, context):
        self.seen.append((request.type, request.name) + ((str(dict(request.object["spec"])),) if "Claim" in request.type else ()))
        obj = struct_pb2.Struct(); obj.CopyFrom(request.object)
        if request.type == "pulumi:index:Stash":
            obj["output"] = "other-uid"
        return resource_pb2.RegisterResourceResponse(urn=f"urn:pulumi:dev::p::{request.type}::{request.name}", id=request.name if request.custom else "", object=obj)
    def RegisterResourceOutputs(self, request, context):
        return empty_pb2.Empty()
    def RegisterResourceHook(self, request, context):
        return empty_pb2.Empty()
    def RegisterErrorHook(self, request, context):
        return empty_pb2.Empty()


def _invoke(self, request, context):
    self.seen.append(("invoke", request.tok, dict(request.args)))
    r = provider_pb2.InvokeResponse()
    getattr(r, "return").update({"urn": request.args["urn"], "id": "id", "state": {}})
    return r
Mon.Invoke = _invoke


class Fixed(ProviderServicer):
    async def _construct(self, request, context):
        try:
            return await super()._construct(request, context)
        except pulumi.RunError as error:
            raise pulumi.InputPropertiesError(str(error), []) from error


class Eng(engine_pb2_grpc.EngineServicer):
    def Log(self, request, context):
        request.severity > 0 and print("LOG", request.severity, request.message[:300])
        return empty_pb2.Empty()


def construct(inputs: dict[str, Any], *, dry: bool, providers: dict[str, str] = {}, uid: Any = "this-uid") -> tuple[str, Mon]:
    import components.cluster_registry as cr, components.volume_guard as vg
    from components.__main__ import package
    mon = Mon()
    server = grpc.server(futures.ThreadPoolExecutor(8))
    resource_pb2_grpc.add_ResourceMonitorServicer_to_server(mon, server)
    engine_pb2_grpc.add_EngineServicer_to_server(Eng(), server)
    port = server.add_insecure_port("127.0.0.1:0"); server.start()

    async def main() -> str:
        s = grpc.aio.server()
        provider_pb2_grpc.add_ResourceProviderServicer_to_server(__import__("components.__main__", fromlist=["Servicer"]).Servicer(package(), [], engine_address=f"127.0.0.1:{port}"), s)
        p = s.add_insecure_port("127.0.0.1:0"); await s.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{p}") as ch:
            stub = provider_pb2_grpc.ResourceProviderStub(ch)
            st = struct_pb2.Struct(); st.update(inputs)
            try:
                r = await asyncio.wait_for(stub.Construct(provider_pb2.ConstructRequest(project="p", stack="dev", type="kube-registry:index:ClusterRegistry", name="registry", inputs=st, monitorEndpoint=f"127.0.0.1:{port}", dryRun=dry, parallel=4, organization="o", providers=providers)), 60)
                answer = f"OK {r.state}"
            except grpc.aio.AioRpcError as e:
                answer = f"{e.code()} {e.details()} :: {e.trailing_metadata()}"
        await s.stop(0)
        return answer
    with pytest.MonkeyPatch.context() as mp:
        async def fake(*a, **k): return uid
        mp.setattr(vg, "cluster_uid", fake)
        mp.setattr(cr, "prove_preconditions", lambda _: None)
        async def ready(self, say): return None
        from kube_registry.push.push_path import PushPath
        mp.setattr(PushPath, "ready", ready)
        answer = asyncio.run(main())
    server.stop(0)
    return answer, mon

SIG = "4dabf18193072939515e22adb298388d"
def secret(v): return {SIG: "1b47061264138c4ac30d75fd1eb44270", "value": v}

@pytest.mark.parametrize("case", ["ok", "other", "brought", "secretclaim", "secretarg", "setting", "unknownkey", "missing", "nocontext", "secretport"])
def test_it(case: str) -> None:
    base = {"kubeContext": "prod"}
    if case == "ok": out = construct(base, dry=False, uid="other-uid")
    if case == "other": out = construct(base, dry=False)
    if case == "brought": out = construct(base, dry=False, providers={"kubernetes": "urn:pulumi:dev::p::pulumi:providers:kubernetes::mine::id"})
    if case == "secretclaim": out = construct({**base, "claim": secret({"size": "99Gi"})}, dry=True)
    if case == "secretarg": out = construct({**base, "images": {"app": {"context": "./app", "secretBuildArgs": {"T": secret("x")}}}}, dry=True)
    if case == "setting": out = construct({**base, "namespace": "Not Ok"}, dry=True)
    if case == "unknownkey": out = construct({**base, "images": {"app": {"context": "./nothere"}}}, dry=True)
    if case == "missing": out = construct({}, dry=True)
    if case == "nocontext": out = construct({"kubeconfig": "/nowhere"}, dry=False)
    if case == "secretport": out = construct({**base, "nodePort": secret(30111)}, dry=True)
    print("CASE", case, "->", out[0][:1500]); print("SEEN", out[1].seen)
