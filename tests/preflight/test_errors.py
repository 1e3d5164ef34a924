from kube_registry.preflight.errors import PreflightError


def test_the_table_shows_the_rows_below_one_another_and_counts_the_rest() -> None:
    rows = tuple((f"node-{number}", "containerd://2.1.0", "?", "no answer") for number in range(10))
    error = PreflightError(**{**PreflightError.example, "rows": rows, "failing": 12, "nodes": 40})  # type: ignore[arg-type]
    sentence, head, *shown, more = str(error).splitlines()
    assert sentence.startswith("12 of 40 nodes cannot pull")
    assert {line.index("containerd") for line in shown} == {head.index("runtime")}
    assert more.strip() == "and 2 more"
