"""What a run left behind, read once: all that the report knows comes from here.

Of a run that is not finished it is what there is so far: scores that the table lacks come from
``scores.json``, curves of a training from its work folder.
"""

import csv
import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from legor1.core.errors import UserError
from legor1.core.files import read_json, read_jsonl
from legor1.core.format import count, percent, points
from legor1.core.layout import IN_RUN
from legor1.evaluation import table
from legor1.monitor import jobs, run_files
from legor1.monitor.jobs import Job
from legor1.report import provenance_graph
from legor1.report.citation import Cited, Record, pointer
from legor1.report.provenance_graph import Step
from legor1.tasks import baselines
from legor1.tasks.task import Shown
from legor1.training import work_folder

PUBLISHED = "workflow/report/published_results.csv"
UNTRAINED = ("baseline", "external")  # methods
DIFFERENCE = ("difference", "low", "high")  # as comparison.json calls them
PREDICTION = (
    "instance_id", "task", "image", "width", "height", "completion", "prediction", "reference",
)  # fmt: skip

Key = tuple[str, str, str, str]  # protocol, task, metric, experiment
Pair = tuple[str, str, str, str, str]  # the same, and the experiment that it is compared with


@dataclass(frozen=True)
class Experiment:
    """A column of the results; ``index`` decides its colour and marker throughout the report."""

    index: int
    name: str
    method: str


@dataclass(frozen=True)
class Score:
    """A number and its interval: fractions (NaN: none), over ``n`` examples."""

    value: float
    low: float
    high: float
    n: int
    source: str = ""  # where it stands
    called: str = "value"  # what its value is called there
    p: float = math.nan  # of a difference's test, adjusted for all tests of its family
    ends: str = ""  # where the interval's ends stand, if it is elsewhere

    @property
    def bounded(self) -> bool:
        """Tell whether there is an interval."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    def cited(self, part: str = "value") -> Cited:
        """Return its ``value``, ``low``, ``high`` or ``n`` as text with its source."""
        number, key = getattr(self, part), self.called if part == "value" else part
        write = points if self.called == DIFFERENCE[0] else percent
        source = self.ends or self.source if part in ("low", "high") else self.source
        return Cited((count if part == "n" else write)(number), number, f"{source}/{key}")


Scored = list[tuple[Experiment, Score]]


@dataclass(frozen=True)
class Training:
    """One training, done or not."""

    facts: Record  # ``run.json``
    history: list[Record]  # the rows of ``history.jsonl``
    folder: str  # below the run, where they lie: until it is done, its work folder
    progress: Record = field(default_factory=dict)  # until it is done, its last note

    @property
    def history_file(self) -> str:
        """Where the rows stand."""
        return f"{self.folder}/history.jsonl"


@dataclass(frozen=True)
class Study:
    """A run's results and what they come from; what has not been made (yet) is empty.

    ``experiments`` are in the order of ``table.csv``, then come those that have no numbers there;
    baselines that need no model and repeats of a training with other seeds are not among them.
    """

    folder: Path
    config: Record
    experiments: tuple[Experiment, ...]
    scores: Mapping[Key, Score]
    differences: Mapping[Pair, Score]  # paired, experiment − what it is compared with
    scoring: Mapping[str, Record]  # experiment → ``scores.json`` under the first protocol
    predictions: Mapping[str, Mapping[str, Record]]  # experiment → instance id → row
    # Experiment → instance id → metric → fraction (NaN: not applicable).
    examples: Mapping[str, Mapping[str, Mapping[str, float]]]
    trainings: Mapping[str, Training]
    steps: tuple[Step, ...]  # in the order in which the stages began
    splits: Mapping[str, Record]  # protocol of data preparation → ``split.json``
    audits: Mapping[str, Record]  # the same → ``audit.json``
    probes: Mapping[str, Record]  # experiment → what its rewards pay to who knows nothing
    manifest: Record
    comparison: Record
    quarantine: list[Record]
    base: Record
    config_file: str = run_files.CONFIG  # below the run
    missing: tuple[Job, ...] = ()  # what has not been done yet

    @property
    def protocols(self) -> list[str]:
        """The evaluation protocols, in the config's order; then others that have numbers."""
        return [*dict.fromkeys([*run_files.evaluations(self.config), *(k[0] for k in self.scores)])]

    @property
    def baseline(self) -> Experiment:
        """What the others are compared with: the first that is not trained, else the first."""
        compared = [e for e in self.experiments if e.name == self.comparison.get("baseline")]
        untrained = [e for e in self.experiments if e.method == "baseline"]
        return (compared or untrained or list(self.experiments))[0]

    @property
    def trained(self) -> list[Experiment]:
        """The experiments that are trained."""
        return [e for e in self.experiments if e.method not in UNTRAINED]

    def settings(self, experiment: Experiment) -> Record:
        """Return an experiment's block of the config; empty if it is none of the config's."""
        return self.config["experiments"].get(experiment.name, {})

    def repeats(self, experiment: Experiment) -> list[str]:
        """Return the names of a training's repeats with other seeds."""
        known = self.config["experiments"].items()
        return [name for name, block in known if block.get("repeats") == experiment.name]

    def answers(self, experiment: Experiment, tasks: Collection[str]) -> list[Record]:
        """Return an experiment's predictions for some tasks."""
        return [r for r in self.predictions[experiment.name].values() if r["task"] in tasks]

    def score(self, protocol: str, task: str, metric: str, experiment: Experiment) -> Score | None:
        """Return one number of the table, or None where there is none."""
        return _finite(self.scores.get((protocol, task, metric, experiment.name)))

    def scored(self, protocol: str, metric: Shown) -> Scored:
        """Return the experiments that have a number of this metric, with it."""
        pairs = ((e, self.score(protocol, metric.task, metric.name, e)) for e in self.experiments)
        return [(experiment, score) for experiment, score in pairs if score]

    def of_names(self, protocol: str, metric: Shown, names: Iterable[str]) -> dict[str, Score]:
        """Return name → its number of a metric, of those that have it."""
        keys = {name: (protocol, metric.task, metric.name, name) for name in names}
        return {
            name: score for name, key in keys.items() if (score := _finite(self.scores.get(key)))
        }

    def difference(
        self, protocol: str, metric: Shown, a: Experiment, b: Experiment
    ) -> Score | None:
        """Return by how much ``a`` differs from ``b``; None if they were not compared so."""
        pair = protocol, metric.task, metric.name, a.name, b.name
        return _finite(self.differences.get(pair))


def read(folder: Path) -> Study:
    """Read the run in ``folder``, finished or not.

    A UserError if there is no config, or a file is damaged.
    """
    lacking = jobs.missing(folder)
    config, config_file = run_files.config(folder)
    if config_file != run_files.CONFIG:  # started since the last report, which is another's
        lacking += [job for job in jobs.read(folder) if job.rule == "render_report"]
    at_work = run_files.trainings(folder) if lacking else {}
    blocks = config["experiments"]
    scores = _scores(folder / IN_RUN.table)
    comparison = _object(folder / IN_RUN.comparison)
    evaluation = run_files.evaluations(config)[0]
    tabled = [key[3] for key in scores if key[3] not in baselines.NAMES]
    names = dict.fromkeys([*tabled, *blocks])
    columns = [name for name in names if "repeats" not in blocks.get(name, {})]
    methods = {name: blocks.get(name, {}).get("method", "unknown") for name in columns}
    answers = {name: _rows(folder / IN_RUN.predictions(name), *PREDICTION) for name in columns}
    if lacking:
        scores |= dict(_uncompiled(folder, config, scores))
    prepared = {block.get("protocol", "sound"): None for block in blocks.values()}
    audited = [IN_RUN.data.audit(protocol) for protocol in prepared]
    return Study(
        folder=folder,
        config=config,
        experiments=tuple(Experiment(i, *known) for i, known in enumerate(methods.items())),
        scores=scores,
        differences=_differences(comparison),
        scoring={name: _object(folder / IN_RUN.scores(name, evaluation)) for name in names},
        predictions={
            name: {row["instance_id"]: row for row in own} for name, own in answers.items()
        },
        examples={
            name: _examples(folder / IN_RUN.per_example(name, evaluation)) for name in columns
        },
        trainings={name: _training(folder, name, at_work.get(name)) for name in names},
        steps=provenance_graph.read(folder, [*provenance_graph.ENDS, *audited]),
        splits={name: _object(folder / IN_RUN.data.split(name)) for name in prepared},
        audits={name: _object(folder / IN_RUN.data.audit(name)) for name in prepared},
        probes={name: _object(folder / IN_RUN.probe(name)) for name in columns},
        manifest=_object(folder / IN_RUN.data.manifest),
        comparison=comparison,
        quarantine=_rows(folder / IN_RUN.data.quarantine, "reason"),
        base=_object(folder / IN_RUN.base_model),
        config_file=config_file,
        missing=tuple(lacking),
    )


def published() -> list[dict[str, str]]:
    """Return the rows of ``published_results.csv``: percent as printed, empty where not given."""
    with (Path(__file__).parents[3] / PUBLISHED).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    names = ("source", "model", "adaptation")
    for row in rows:
        known = [key for key, text in row.items() if text and key not in names]
        where = [row[name] for name in names]
        row |= {key: Cited(row[key], row[key], pointer(PUBLISHED, *where, key)) for key in known}
    return rows


def _finite(score: Score | None) -> Score | None:
    return score if score and math.isfinite(score.value) else None


def _scores(path: Path) -> dict[Key, Score]:
    if not path.exists():
        return {}
    scores = {}
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        try:
            for row in rows:
                key = (row["protocol"], row["task"], row["metric"], row["experiment"])
                value, low, high = (float(row[name] or "nan") for name in ("value", "low", "high"))
                source = pointer(path.name, row["experiment"], *key[:3])
                scores[key] = Score(value, low, high, int(row["n"]), source)
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"{path}, line {rows.line_num}: no number of the table ({error!r}). "
                "Remedy: make it again with `legor1 table`."
            ) from error
    if not scores:
        raise UserError(f"{path} holds no number. Remedy: make it again with `legor1 table`.")
    return scores


def _uncompiled(
    folder: Path, config: Record, scores: Collection[Key]
) -> Iterator[tuple[Key, Score]]:
    """Yield the scores of experiments and protocols that the table has none of."""
    compiled = {(experiment, protocol) for protocol, _, _, experiment in scores}
    for name in (*config["experiments"], *baselines.NAMES):
        for protocol in run_files.evaluations(config):
            file = IN_RUN.scores(name, protocol)
            if (name, protocol) in compiled or not (folder / file).exists():
                continue
            for _, _, task, metric, *numbers, n in table.rows(name, folder / file):
                value, low, high = map(number, numbers)
                source = pointer(file, "tasks", task)
                ends = f"{source}/intervals/{metric}"
                score = Score(value, low, high, n, source, metric, ends=ends)
                yield (protocol, task, metric, name), score


def _differences(comparison: Record) -> dict[Pair, Score]:
    known: dict[Pair, Score] = {}
    try:
        for i, pair in enumerate(comparison.get("comparisons", [])):
            names = pair["experiment"], pair["baseline"]
            for task, compared in pair["tasks"].items():
                for metric, facts in compared["metrics"].items():
                    where = ("comparisons", i, "tasks", task, "metrics", metric)
                    source = pointer(IN_RUN.comparison, *where)
                    value, low, high, p = (number(facts[key]) for key in (*DIFFERENCE, "p_holm"))
                    score = Score(value, low, high, compared["n"], source, DIFFERENCE[0], p)
                    known[(comparison["protocol"], task, metric, *names)] = score
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"comparison.json holds no comparison of this version ({error!r}). "
            "Remedy: make it again with `legor1 compare`."
        ) from error
    return known


def number(value: float | None) -> float:
    """Return a number of a JSON file, NaN for none."""
    return math.nan if value is None else value


def _object(path: Path) -> Record:
    return read_json(path) if path.exists() else {}


def _rows(path: Path, *require: str) -> list[Record]:
    return read_jsonl(path, require) if path.exists() else []


def _training(run: Path, name: str, work: Path | None) -> Training:
    facts = _object(run / IN_RUN.training(name))
    if work and not facts:
        history, below = run_files.rows(work / work_folder.HISTORY), work.relative_to(run)
        return Training(facts, history, below.as_posix(), run_files.step(work))
    return Training(facts, _rows(run / IN_RUN.history(name)), IN_RUN.adapter(name))


def _examples(path: Path) -> dict[str, dict[str, float]]:
    if not path.exists():
        return {}
    frame = pd.read_parquet(path).set_index("instance_id").select_dtypes("number")
    return frame.astype(float).to_dict("index")
