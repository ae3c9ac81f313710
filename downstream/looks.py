"""Training seed by seed, and no more once the answer is clear."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from downstream.comparison import ComparisonSummary
from downstream.results import RunResult
from downstream.statistics import MIN_SEEDS
from downstream.statistics.counts import Run
from downstream.statistics.recommendation import Verdict, counted


def train_by_looks(
    mixes: Sequence[str],
    seeds: Sequence[int],
    train: Callable[[Sequence[Run]], Sequence[RunResult]],
    summarize: Callable[[Sequence[RunResult]], ComparisonSummary],
    report: Callable[[str], None],
) -> list[RunResult]:
    """Train all mixes with the first `MIN_SEEDS` seeds, and then with one more at a time until there is an answer.

    A mix that is reliably worse than real data alone is not trained with more seeds. Which runs there are depends on
    the results alone, so a repeated call with the same results asks for the same runs.

    Args:
        mixes: names of all of them.
        seeds: in the order in which they are trained, the most that may be needed.
        train: gives the results of mixes with their seeds.
        summarize: compares all results so far, with a question of as many looks as there are seeds.
        report: takes a line for each look.
    """
    results: list[RunResult] = []
    going = list(mixes)
    for look in range(min(MIN_SEEDS, len(seeds)), len(seeds) + 1):
        done = {(result.mix, result.seed) for result in results}
        due = [(mix, seed) for mix in going for seed in seeds[:look] if (mix, seed) not in done]
        results += train(due)
        summary = summarize(results)
        if summary.verdict is not Verdict.OPEN:
            report(f"the answer is clear after {look} of {counted(len(seeds), 'seed')}")
            break
        worse = {mix.mix: mix.baseline for mix in summary.mixes if mix.is_worse()}
        for mix in going:
            if mix in worse and look < len(seeds):
                report(f"{mix} is worse than {worse[mix]}, and is not trained with more than {look} seeds")
        going = [mix for mix in going if mix not in worse]
    return results
