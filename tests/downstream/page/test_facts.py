"""The page names the cost of each stage, the segmenter with its weights, and where the run was made."""

from __future__ import annotations

from downstream.page.facts import costs, environment_facts, segmenter_facts
from downstream.results import RunResult

OPTIONS = {"model": "segformer_mit-b0", "pretrained": None, "batch_size": 4, "scale_range": [0.75, 1.5]}
RESULT = RunResult("real", 0, 20, 0.1, 0.9, {}, [], 5.0, "f", {"options": OPTIONS})
FIRST = {"date": "2026-01-02", "commit": None, "versions": {"torch": "2.8"}, "machine": "2 CPU cores"}
SESSIONS = [
    {**FIRST, "seconds": {"fit": 2}},
    {**FIRST, "date": "2026-01-03", "commit": "abc", "machine": "4 CPU cores", "seconds": {"fit": 3}},
]


def test_random_weights_are_said_plainly_and_files_are_named() -> None:
    assert segmenter_facts(None) == {}
    facts = segmenter_facts(RESULT)
    assert facts["its weights"].startswith("random")
    assert facts["its settings"] == "batch_size 4, scale_range 0.75 to 1.5"
    trained = RunResult(**{**vars(RESULT), "inputs": {"options": {**OPTIONS, "pretrained": "ab" * 32}}})
    assert segmenter_facts(trained)["its weights"] == "the file with SHA-256 abababababab…"


def test_what_differs_between_runs_of_a_workspace_is_named_in_full() -> None:
    facts = environment_facts(SESSIONS)
    assert facts["date"] == "2026-01-02; 2026-01-03"
    assert facts["versions"] == "torch 2.8"
    assert (facts["commit"], facts["hardware"]) == ("abc", "2 CPU cores; 4 CPU cores")
    assert environment_facts([]) == {}


def test_the_time_of_a_stage_is_the_sum_over_runs() -> None:
    found = {cost.name: cost for cost in costs({"shard": ("64 samples", 7.0)}, RESULT, [], SESSIONS)}
    assert (found["fit"].worker, found["fit"].wall) == (None, 5)
    assert (found["shard"].amount, found["shard"].worker, found["shard"].wall) == ("64 samples", 7.0, None)
    assert found["judge"].worker == 5.0
