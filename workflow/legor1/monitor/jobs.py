"""The jobs of a study, as Snakemake planned them when it last started: ``jobs.json``.

Snakemake's rules decide what runs. `watch` and the report cannot wait for Snakemake, so the
workflow writes its list of jobs as it starts, and they read it.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from pydantic import BaseModel, ValidationError, field_validator

from legor1.core import files
from legor1.core.errors import UserError
from legor1.core.layout import IN_RUN
from legor1.monitor.run_files import changed, content

if TYPE_CHECKING:
    from snakemake.jobs import Job as Planned

# Stage → rule → what it makes, in words. The report shows them, so they lie with its templates.
_WORDS: dict[str, dict[str, str]] = yaml.safe_load(
    (Path(__file__).parents[2] / "report/jobs.yaml").read_text(encoding="utf-8")
)
STAGES = tuple(_WORDS)
RULES = {rule: (stage, what) for stage, of in _WORDS.items() for rule, what in of.items()}
TRAININGS = tuple(rule for rule in RULES if rule.startswith("train_"))
LONG = (*TRAININGS, "predict_shard")  # the rules that a study spends its time on
GOAL = "all"  # the rule that asks for the whole study


class Job(BaseModel, frozen=True):
    """One job of a study, as in ``jobs.json``; its files are below the run's folder."""

    rule: str
    wildcards: dict[str, str]
    outputs: tuple[str, ...]
    log: str
    benchmark: str

    @classmethod
    def of_plan(cls, job: "Planned", run: Path) -> "Job":
        """Return what is noted of one of Snakemake's jobs."""
        return cls(
            rule=job.name,
            wildcards=dict(job.wildcards_dict),
            outputs=tuple(os.path.relpath(path, run) for path in job.output),
            log=os.path.relpath(job.log[0], run),
            benchmark=os.path.relpath(str(job.benchmark), run),
        )

    @field_validator("rule")
    @classmethod
    def _known(cls, rule: str) -> str:
        if rule not in RULES:
            raise ValueError(f"there is no rule {rule!r}")
        return rule

    @property
    def stage(self) -> str:
        """One of ``STAGES``."""
        return RULES[self.rule][0]

    @property
    def experiment(self) -> str:
        """Whose training or predictions it makes; empty for other jobs."""
        return self.wildcards.get("experiment", "") if self.stage != "scores" else ""

    @property
    def what(self) -> str:
        """What it makes, in words."""
        whose = " of the base model's scenes" if "base/" in self.wildcards.get("data", "") else ""
        return RULES.get(self.rule, ("", self.rule))[1] + whose  # a target, or another workflow's

    @property
    def of(self) -> str:
        """Which one it makes, if there is more than one."""
        order = ("protocol", "experiment", "tried", "key", "shard", "evaluation")
        words = {"experiment": "", "evaluation": "protocol "}  # else what the wildcard is called
        known = ((name, self.wildcards[name]) for name in order if name in self.wildcards)
        return ", ".join(words.get(name, f"{name} ") + value for name, value in known)

    def __str__(self) -> str:
        return f"{self.what} of {self.of}" if self.of else self.what

    def done(self, run: Path) -> bool:
        """Tell whether all that it makes is there; a shard may be gone once it is gathered."""
        made = all(changed(run / name) is not None for name in self.outputs)
        gathered = run / IN_RUN.predictions(self.experiment)
        return made or (self.rule == "predict_shard" and changed(gathered) is not None)


class Noted(BaseModel):
    """What ``jobs.json`` holds."""

    schema_version: int = 1
    jobs: list[Job]


def note(planned: "Iterable[Planned]", run: Path, names: Sequence[str]) -> None:
    """Write the jobs of the run in ``run``, unless only a part of the study is asked for.

    ``planned`` are Snakemake's jobs, done or not; ``names`` orders the experiments.
    """
    planned, path = list(planned), run / IN_RUN.jobs
    if path.exists() and GOAL not in {job.name for job in planned}:
        return
    jobs = sorted((job for job in planned if job.name in RULES), key=lambda job: _rank(job, names))
    noted = Noted(jobs=[Job.of_plan(job, run) for job in jobs])
    files.write_json(path, noted.model_dump(mode="json"))


def _rank(job: "Planned", names: Sequence[str]) -> tuple[int, list[tuple[int, int, str]]]:
    """Return what jobs are sorted by: the order of rules, experiments, and numbers of shards."""
    order = {name: place for place, name in enumerate(names)}
    values = job.wildcards_dict.values()
    ranks = [(order.get(v, len(names)), int(v) if v.isdecimal() else 0, v) for v in values]
    return list(RULES).index(job.name), ranks


def read(run: Path) -> list[Job]:
    """Return the jobs of the run in ``run``, none before it is started; a UserError if damaged."""
    path = run / IN_RUN.jobs
    if not (text := content(path)):
        return []
    try:
        jobs = Noted.model_validate_json(text).jobs
    except ValidationError as error:
        first, *_ = error.errors()
        place = ".".join(map(str, first["loc"]))
        raise UserError(
            f"{path} lists no jobs of a study ({place}: {first['msg']}). "
            "Remedy: delete it and start Snakemake, which writes it again."
        ) from error
    return [job for job in jobs if all(map(files.is_plain, (*job.outputs, job.log, job.benchmark)))]


def missing(run: Path) -> list[Job]:
    """Return the jobs whose files are not there, without the report and the parts of others.

    Of a study that was never started here, the table is asked for.
    """
    parts, rule = ("render_report", "predict_shard"), "compile_table"
    log, outputs = IN_RUN.log(rule), (IN_RUN.table,)
    table = Job(rule=rule, wildcards={}, outputs=outputs, log=log, benchmark="")
    return [job for job in read(run) or [table] if job.rule not in parts and not job.done(run)]
