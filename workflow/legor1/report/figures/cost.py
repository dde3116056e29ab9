"""What each experiment cost: time and memory of its training and of its predictions."""

from collections.abc import Callable

from legor1.report.cited import Cited, cite, count, duration, pointer
from legor1.report.figures.chart import Figure, Panel, bars
from legor1.report.study import Experiment, Study


def costs(study: Study) -> Figure:
    """Return a panel for the time and one for the memory of trainings and predictions."""
    rows, times, memories = [], [], []
    for one in study.experiments:
        for stage, (seconds, memory) in _stages(study, one).items():
            rows.append([one.name, stage, seconds, memory])
            times.append((one, f"{one.name}, {stage}", float(seconds.value), str(seconds)))
            memories.append((one, f"{one.name}, {stage}", float(memory.value), str(memory)))
    panels: list[Panel] = []
    if rows:
        panels.append(("Time", "of the processes, wall clock", bars("cost-time", "Time", times)))
        note = "of the GPU where there is one, else resident"
        panels.append(("Peak memory", note, bars("cost-memory", "Peak memory", memories)))
    about = "Of a prediction that was interrupted, the last attempt alone was timed."
    headings = ["Experiment", "Stage", "Wall time", "Peak memory"]
    return Figure(panels, headings, rows, "What it cost", about)


def _stages(study: Study, one: Experiment) -> dict[str, tuple[Cited, Cited]]:
    stages, facts = {}, study.trainings[one.name].facts
    if "seconds" in facts and "peak_memory_mib" in facts:
        file = f"adapters/{one.name}/run.json"
        stages["training"] = (
            cite(file, facts, "seconds", write=duration),
            cite(file, facts, "peak_memory_mib", write=_mib),
        )
    if shards := study.shards[one.name]:
        memories = [shard["peak_gpu_memory_mib"] or shard["peak_memory_mib"] for shard in shards]
        stages["prediction"] = (
            _over(one, "wall_seconds", sum(s["wall_seconds"] for s in shards), "sum", duration),
            _over(one, "peak memory", max(memories), "greatest", _mib),
        )
    return stages


def _over(
    one: Experiment, key: str, value: float, how: str, write: Callable[[float], str]
) -> Cited:
    file = f"predictions/{one.name}/shards/*.jsonl.provenance.json"
    return Cited(write(value), value, pointer(file, key), how)


def _mib(mib: float) -> str:
    return f"{count(mib)} MiB"
