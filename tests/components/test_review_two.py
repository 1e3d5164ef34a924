from tests.components.test_review_plugin import *
def test_two():
    """Two Constructs at once in one plugin; the second one's hooks and resources."""
    import components.cluster_registry as cr, components.volume_guard as vg
    from components.__main__ import package
    mon = Mon()
    hooks=[]
    def hook(self, request, context):
        hooks.append(request.name); return empty_pb2.Empty()
    Mon.RegisterResourceHook = hook
    server = grpc.server(futures.ThreadPoolExecutor(8))
    resource_pb2_grpc.add_ResourceMonitorServicer_to_server(mon, server)
    engine_pb2_grpc.add_EngineServicer_to_server(Eng(), server)
    port = server.add_insecure_port("127.0.0.1:0"); server.start()
    async def main():
        s = grpc.aio.server()
        provider_pb2_grpc.add_ResourceProviderServicer_to_server(ProviderServicer(package(), [], engine_address=f"127.0.0.1:{port}"), s)
        p = s.add_insecure_port("127.0.0.1:0"); await s.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{p}") as ch:
            stub = provider_pb2_grpc.ResourceProviderStub(ch)
            async def one(name, ctx):
                st = struct_pb2.Struct(); st.update({"kubeContext": ctx, "images": {"app": {"context": "./app"}}})
                try:
                    r = await asyncio.wait_for(stub.Construct(provider_pb2.ConstructRequest(project="p", stack="dev", type="kube-registry:index:ClusterRegistry", name=name, inputs=st, monitorEndpoint=f"127.0.0.1:{port}", dryRun=True, parallel=4, organization="o")), 60)
                    return "OK"
                except grpc.aio.AioRpcError as e:
                    return f"{e.code()} {e.details()[:600]}"
            out = await asyncio.gather(one("east", "a"), one("west", "b"))
        await s.stop(0)
        return out
    with pytest.MonkeyPatch.context() as mp:
        async def fake(*a, **k): return "x"
        mp.setattr(vg, "cluster_uid", fake)
        mp.setattr(cr, "prove_preconditions", lambda _: None)
        print("TWO", asyncio.run(main()))
    print("HOOKS", sorted(hooks)); print("N", len(mon.seen), sorted(m[1] for m in mon.seen))
    server.stop(0)
