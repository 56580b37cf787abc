"""What no node has may still come, if the cluster's autoscaler may add it."""

from __future__ import annotations

from flyte_ray.cluster.autoscaling import (
    Autoscaler,
    NodeType,
    fitting,
    hopeless,
    parse_autoscaler,
    slots_on,
    slots_to_come,
)

CPU = NodeType("cpu", {"CPU": 8.0, "memory": 4.0 * 1024**3}, 3)
GPU = NodeType("gpu", {"CPU": 4.0, "GPU": 2.0, "accelerator_type:T4": 1.0}, 2)
GROWS = Autoscaler((CPU, GPU), 4)
HEAD = {"CPU": 2.0, "memory": 1024.0**3}


def test_without_an_autoscaler_the_nodes_there_are_decide() -> None:
    assert hopeless({"num_cpus": 2}, [HEAD], None) == ""
    assert hopeless({"num_cpus": 3}, [HEAD, {"CPU": 1.0}], None) == (
        "No node of this cluster can ever run this: needs 3 CPU, the largest node has 2. Ask for less, or add a node."
    )
    assert "the cluster has no nodes" in hopeless({}, [], None)


def test_what_a_type_of_node_can_hold_is_waited_for() -> None:
    assert hopeless({"num_cpus": 3}, [HEAD], GROWS) == ""
    assert hopeless({"num_cpus": 1, "num_gpus": 2, "accelerator_type": "T4"}, [HEAD], GROWS) == ""
    assert [each.name for each in fitting({"num_cpus": 4}, GROWS)] == ["cpu", "gpu"]


def test_what_no_type_can_hold_is_refused_by_the_name_of_the_largest() -> None:
    assert hopeless({"num_cpus": 6, "num_gpus": 1}, [HEAD], GROWS) == (
        "No node of this cluster can ever run this, and none that its autoscaler may add, of which 'cpu' is the"
        " largest type: needs 1 GPU, type 'cpu' has 0. Ask for less, or give the autoscaler a larger type."
    )
    assert "Its autoscaler may add none." in hopeless({"num_cpus": 6}, [HEAD], Autoscaler((), 0))


def test_an_autoscaler_that_does_not_say_what_it_adds_is_waited_for() -> None:
    unknown = Autoscaler(None, 8)
    assert hopeless({"num_cpus": 1000}, [HEAD], unknown) == ""
    assert slots_to_come({"num_cpus": 1000}, 1, unknown) == 8


def test_the_slots_asked_for_are_bounded_by_the_nodes_that_may_come() -> None:
    assert slots_to_come({"num_cpus": 2}, 1, GROWS) == 3 * 4
    assert slots_to_come({"num_cpus": 2}, 4, GROWS) == 1 * 4
    assert slots_to_come({"num_cpus": 2}, 5, GROWS) == 0
    assert slots_to_come({"num_cpus": 99}, 1, GROWS) == 0
    assert slots_to_come({"num_cpus": 2}, 1, None) == 0
    assert (slots_on(HEAD, {"num_cpus": 1}), slots_on(HEAD, {"num_cpus": 3})) == (2, 0)


def test_the_configuration_names_types_and_how_many_there_may_be() -> None:
    config = {
        "max_workers": 5,
        "head_node_type": "head",
        "available_node_types": {
            "head": {"resources": {"CPU": 1}, "node_config": {}},
            "plain": {"resources": {"CPU": 4}, "node_config": {}},
            "few": {"resources": {"CPU": 8}, "node_config": {}, "max_workers": 1},
        },
    }
    assert parse_autoscaler(config) == Autoscaler((NodeType("plain", {"CPU": 4}, 5), NodeType("few", {"CPU": 8}, 1)), 5)
    assert parse_autoscaler({}) == Autoscaler((), 2)
