"""The answer in words, made from the numbers; ``claims`` says what may be claimed."""

from collections.abc import Callable, Sequence

from markupsafe import Markup

from legor1.report import claims, svg
from legor1.report.sections import overview
from legor1.report.study import Experiment, Score, Study
from legor1.tasks.discovery import TASKS, main_metric
from legor1.tasks.task import Shown

METHODS = {
    "baseline": "no training",
    "sft": "supervised fine-tuning",
    "grpo": "reinforcement learning, GRPO",
}
EXAMPLES = "worked examples in the prompt"

Scored = list[tuple[Experiment, Score]]
Standing = Callable[[Experiment, Experiment], str]  # as of ``claims.standing``


def name(experiment: Experiment) -> Markup:
    """Return an experiment's name as it stands in the text, in its colour."""
    return Markup('<b class="name {}">{}</b>').format(svg.colour(experiment.index), experiment.name)


def question(study: Study) -> Markup:
    """Return what was asked, in one sentence."""
    ways = [Markup("{} ({})").format(name(one), _way(study, one)) for one in study.experiments]
    purposes = _join([task.purpose for task in TASKS.values()], "and")
    return Markup("How well does {} {}: with {}?").format(model(study), purposes, _join(ways, "or"))


def model(study: Study) -> str:
    """Return what the base model is called."""
    base = study.config["base"]
    if base["source"] in ("shipped", "rebuild"):
        return "a tiny Qwen2.5-VL"
    return base["huggingface"]["repo"] if base["source"] == "huggingface" else "the base model"


def _way(study: Study, experiment: Experiment) -> str:
    method = METHODS.get(experiment.method, experiment.method)
    shown = study.config["experiments"].get(experiment.name, {}).get("demonstrations")
    return EXAMPLES if shown and experiment.method == "baseline" else method


def answers(study: Study, protocol: str) -> list[Markup]:
    """Return a sentence or two for each task that has numbers, the main task first."""
    said = [_answer(study, protocol, main_metric(task)) for task in TASKS]
    return [sentence for sentence in (*said, _seeds(study)) if sentence is not None]


def _seeds(study: Study) -> Markup | None:
    """Return what repeats of the trainings mean for what is said."""
    seeds = overview.training_seeds(study)
    if len(seeds) < 2:
        return None
    told = "Each training was run with {} seeds ({}): the differences are of the mean over them, "
    return Markup(told).format(len(seeds), _join(seeds, "and")) + Markup(
        "and an interval covers the luck of the trainings too."
    )


def _answer(study: Study, protocol: str, one: Shown) -> Markup | None:
    scored = [(e, study.score(protocol, one.task, one.name, e)) for e in study.experiments]
    known: Scored = [(experiment, score) for experiment, score in scored if score is not None]
    if not known:
        return None
    base = next((pair for pair in known if pair[0] == study.baseline), known[0])
    others = [pair for pair in known if pair != base]

    def standing(a: Experiment, b: Experiment) -> str:
        return claims.standing(study, protocol, one, a, b)

    clauses = [*_against(base, others, standing), *_among(one, others, standing)]
    if not others:
        clauses = [Markup("{} reaches {}").format(name(base[0]), _percents([base]))]
    elif all(standing(a, b) == "unclear" for a, _ in known for b, _ in known if a != b):
        listed = _names(known), _percents(known)
        clauses = [Markup("no clear difference between {} ({})").format(*listed)]
    return Markup("<strong>{}</strong> ({}): {}.").format(
        TASKS[one.task].title, _inside_sentence(one.label), Markup("; ").join(clauses)
    )


def _against(base: tuple[Experiment, Score], others: Scored, standing: Standing) -> list[Markup]:
    """Return what can be said about the others beside the baseline."""
    groups: dict[str, Scored] = {"better": [], "worse": [], "unclear": []}
    for pair in others:
        groups[standing(pair[0], base[0])].append(pair)
    unclear = groups.pop("unclear")
    said = [
        Markup("{} {} clearly {} than {} ({} against {})").format(
            _names(group),
            "is" if len(group) == 1 else "are",
            word,
            name(base[0]),
            _percents(group),
            _percents([base]),
        )
        for word, group in groups.items()
        if group
    ]
    if unclear:
        said.append(
            Markup("no clear difference between {} and {} ({} and {})").format(
                name(base[0]), _names(unclear, "or"), _percents([base]), _percents(unclear)
            )
        )
    return said


def _among(one: Shown, others: Scored, standing: Standing) -> list[Markup]:
    """Return how the best of the others stands beside the rest of them."""
    if len(others) < 2:
        return []
    best = max(others, key=lambda pair: one.worth(pair[1].value))
    behind = [p for p in others if p != best and standing(best[0], p[0]) == "better"]
    level = [p for p in others if p != best and p not in behind]
    said = {
        "{} is clearly better than {}": _names(behind),
        "no clear difference between {} and {}": _names(level, "or"),
    }
    return [Markup(text).format(name(best[0]), rest) for text, rest in said.items() if rest]


def _inside_sentence(label: str) -> str:
    return label if label[1:2].isupper() or label[1:2].isdigit() else label[0].lower() + label[1:]


def _names(pairs: Scored, word: str = "and") -> Markup:
    return _join([name(experiment) for experiment, _ in pairs], word)


def _percents(pairs: Scored) -> Markup:
    return Markup("{}\N{NO-BREAK SPACE}%").format(
        _join([score.cited() for _, score in pairs], "and")
    )


def _join(parts: Sequence[str], word: str) -> Markup:
    """Return ``a, b and c``."""
    if len(parts) < 2:
        return Markup("").join(parts)
    return Markup("{} {} {}").format(Markup(", ").join(parts[:-1]), word, parts[-1])
