"""Results of trainings that were never done, for tables and pages."""

from __future__ import annotations

from downstream.results import RunResult

SCORES = {"real": [0.4123, 0.4321], "real+synthetic": [0.4567, 0.4789]}


def runs(images: int | None = None) -> list[RunResult]:
    """Two seeds of two mixes; the second one is better."""
    results = []
    for mix, scores in SCORES.items():
        weights = {"real": 1.0, "synthetic": float(mix != "real"), "where": {}}
        inputs = {"mix": weights, "real": "aa", "synthetic": None}
        results += [
            RunResult(mix, seed, 10, miou, 0.9, {"road": miou, "car": None}, [], 61.0, f"{mix}-{seed}", inputs, images)
            for seed, miou in enumerate(scores)
        ]
    return results
