"""A study that is not finished: what there is of it so far, and what is missing.

Scores that the table lacks come from ``scores.json``, curves of a training from its work folder.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from legor1.core.layout import IN_RUN
from legor1.evaluation import table
from legor1.monitor import jobs, run_files
from legor1.report import study as finished
from legor1.report.citation import pointer
from legor1.report.study import Key, Score, Study, Training
from legor1.tasks import baselines
from legor1.training import work_folder


def read(folder: Path) -> Study:
    """Read the run in ``folder``, finished or not; a UserError as ``study.read``."""
    lacking = jobs.missing(folder)
    study = finished.read(folder)
    if study.config_file != run_files.CONFIG:  # started since the last report, which is another's
        lacking += [job for job in jobs.read(folder) if job.rule == "render_report"]
    if not lacking:
        return study
    trainings = dict(study.trainings)
    for name, work in run_files.trainings(folder).items():
        if name in trainings and not trainings[name].facts:
            history = run_files.rows(work / work_folder.HISTORY)
            below, progress = work.relative_to(folder).as_posix(), run_files.step(work)
            trainings[name] = Training({}, history, below, progress)
    scores = {**study.scores, **dict(_uncompiled(study))}
    return replace(study, scores=scores, trainings=trainings, missing=tuple(lacking))


def _uncompiled(study: Study) -> Iterator[tuple[Key, Score]]:
    """Yield the scores of experiments and protocols that the table has none of."""
    compiled = {(experiment, protocol) for protocol, _, _, experiment in study.scores}
    for name in (*study.config["experiments"], *baselines.NAMES):
        for protocol in run_files.evaluations(study.config):
            file = IN_RUN.scores(name, protocol)
            if (name, protocol) in compiled or not (study.folder / file).exists():
                continue
            for _, _, task, metric, *numbers, n in table.rows(name, study.folder / file):
                value, low, high = map(finished.number, numbers)
                source = pointer(file, "tasks", task)
                ends = f"{source}/intervals/{metric}"
                score = Score(value, low, high, n, source, metric, ends=ends)
                yield (protocol, task, metric, name), score
