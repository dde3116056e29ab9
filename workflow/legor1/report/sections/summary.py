"""The answer in words, made from the numbers; ``result_tables.standing`` says what to claim."""

from collections.abc import Callable, Sequence

from markupsafe import Markup

from legor1.report import svg
from legor1.report.sections import overview, result_tables
from legor1.report.study import Experiment, Score, Scored, Study
from legor1.tasks.discovery import TASKS, main_metric
from legor1.tasks.task import Shown

METHODS = {
    "baseline": "no training",
    "sft": "supervised fine-tuning",
    "grpo": "reinforcement learning, GRPO",
}
EXAMPLES = "worked examples in the prompt"

Standing = Callable[[Experiment, Experiment], str]  # as of ``result_tables.standing``


def question(study: Study) -> Markup:
    """Return what was asked, in one sentence."""
    ways = [Markup("{} ({})").format(_name(e), _way(study, e)) for e in study.experiments]
    purposes = _join([task.purpose for task in TASKS.values()], "and")
    asked = Markup("How well does {} {}: with {}?")
    return asked.format(_model(study), purposes, _join(ways, "or"))


def _model(study: Study) -> str:
    base = study.config["base"]
    if base["source"] in ("shipped", "rebuild"):
        return "a tiny Qwen2.5-VL"
    return base["huggingface"]["repo"] if base["source"] == "huggingface" else "the base model"


def _way(study: Study, experiment: Experiment) -> str:
    shown = study.settings(experiment).get("demonstrations")
    if shown and experiment.method == "baseline":
        return EXAMPLES
    return METHODS.get(experiment.method, experiment.method)


def answers(study: Study, protocol: str) -> list[Markup]:
    """Return a sentence or two for each task that has numbers, the main task first."""
    sentences = [_answer(study, protocol, main_metric(task)) for task in TASKS]
    return [sentence for sentence in (*sentences, _seeds(study)) if sentence is not None]


def _seeds(study: Study) -> Markup | None:
    """Return what repeats of the trainings mean for what is said."""
    seeds = overview.training_seeds(study)
    if len(seeds) < 2:
        return None
    return Markup(
        "Each training was run with {} seeds ({}): the differences are of the mean over them, and "
        "an interval covers the luck of the trainings too."
    ).format(len(seeds), _join(seeds, "and"))


def _answer(study: Study, protocol: str, metric: Shown) -> Markup | None:
    known = study.scored(protocol, metric)
    if not known:
        return None
    base = next((pair for pair in known if pair[0] == study.baseline), known[0])
    others = [pair for pair in known if pair != base]

    def standing(a: Experiment, b: Experiment) -> str:
        return result_tables.standing(study, protocol, metric, a, b)

    clauses = [*_beside(base, others, standing), *_among(metric, others, standing)]
    if not others:
        clauses = [Markup("{} reaches {}").format(_name(base[0]), _percents([base]))]
    elif all(standing(a, b) == "unclear" for a, _ in known for b, _ in known if a != b):
        listed = _names(known), _percents(known)
        clauses = [Markup("no clear difference between {} ({})").format(*listed)]
    label = metric.label
    if not (label[1:2].isupper() or label[1:2].isdigit()):  # within a sentence
        label = label[0].lower() + label[1:]
    answer = Markup("<strong>{}</strong> ({}): {}.")
    return answer.format(TASKS[metric.task].title, label, Markup("; ").join(clauses))


def _beside(base: tuple[Experiment, Score], others: Scored, standing: Standing) -> list[Markup]:
    """Return what can be said about the others beside the baseline."""
    groups: dict[str, Scored] = {"better": [], "worse": [], "unclear": []}
    for pair in others:
        groups[standing(pair[0], base[0])].append(pair)
    unclear, against = groups.pop("unclear"), _percents([base])
    clear = Markup("{} {} clearly {} than {} ({} against {})")
    clauses = []
    for word, group in groups.items():
        if group:
            verb = "is" if len(group) == 1 else "are"
            worded = _names(group), verb, word, _name(base[0]), _percents(group), against
            clauses.append(clear.format(*worded))
    if unclear:
        listed = _name(base[0]), _names(unclear, "or"), against, _percents(unclear)
        clauses.append(Markup("no clear difference between {} and {} ({} and {})").format(*listed))
    return clauses


def _among(metric: Shown, others: Scored, standing: Standing) -> list[Markup]:
    """Return how the best of the others stands beside the rest of them."""
    if len(others) < 2:
        return []
    best = max(others, key=lambda pair: metric.worth(pair[1].value))
    behind = [p for p in others if p != best and standing(best[0], p[0]) == "better"]
    level = [p for p in others if p != best and p not in behind]
    clauses = {
        "{} is clearly better than {}": _names(behind),
        "no clear difference between {} and {}": _names(level, "or"),
    }
    return [Markup(text).format(_name(best[0]), rest) for text, rest in clauses.items() if rest]


def _name(experiment: Experiment) -> Markup:
    """Return an experiment's name as it stands in the text, in its colour."""
    return Markup('<b class="name {}">{}</b>').format(svg.colour(experiment.index), experiment.name)


def _names(pairs: Scored, word: str = "and") -> Markup:
    return _join([_name(experiment) for experiment, _ in pairs], word)


def _percents(pairs: Scored) -> Markup:
    scores = _join([score.cited() for _, score in pairs], "and")
    return Markup("{}\N{NO-BREAK SPACE}%").format(scores)


def _join(parts: Sequence[str], word: str) -> Markup:
    """Return ``a, b and c``."""
    if len(parts) < 2:
        return Markup("").join(parts)
    return Markup("{} {} {}").format(Markup(", ").join(parts[:-1]), word, parts[-1])
