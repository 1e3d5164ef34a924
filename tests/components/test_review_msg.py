import pulumi, pytest
from components.cluster_registry import ClusterRegistry
from tests.components.test_library import registered
import pulumi_kubernetes as kubernetes
CASES = [{"kube_context": "x", "node_prot": 1}, {"node_port": 1}, {"kube_context": "x", "storage": "5Gi"}, {"kube_context":"x","claim":{"storageClas":"a"}}, {"kube_context":"x","images":{"app":{"context":"./app","build_args":{"A":1}}}}, {"kube_context":"x","images":{"app":{"contxt":"./app"}}}, {"kube_context":"x","images":{"APP":{"context":"./app"}}}, {"kube_context":"x","pod":{"user":"me"}}, {"kube_context": "x", "kubeconfig": 5}, {"kube_context": "", "kubeconfig": "a: {b"}]
def test_msgs():
    for c in CASES:
        try: registered(lambda: ClusterRegistry("registry", **c)); print("MSG", c, "-> ok")
        except BaseException as e: print("MSG", c, "->", type(e).__name__, str(e)[:260])
def test_collide():
    def p():
        kubernetes.Provider("cluster", context="x"); ClusterRegistry("registry", kube_context="x")
    r = registered(p)
    print("COL", [(e.type, e.name, e.parent) for e in r.requests if e.type=="pulumi:providers:kubernetes"])
