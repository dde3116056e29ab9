"""From the ``ablation`` block of a config to its variants: pure, and the same for every stage.

Each experiment that the block names gives two parents, one without a defect and one with all, and
for each defect, or bundle, one variant on either side: ``sound`` with it on, ``thesis`` with it
off. ``expanded`` is the config in which every variant is an experiment of its own, once a seed.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from legor1.config.models import Ablation, Config, Experiment, Protocol, Trained
from legor1.config.validation_errors import validated
from legor1.core.errors import UserError, no_such
from legor1.published import defects, published_settings
from legor1.published.published_settings import Change

LONGEST_NAME = 60  # of a bundle, within a file's name
SWITCHED = {"sound": "with", "thesis": "without"}  # what a variant is called by
Bundle = tuple[str, ...]


@dataclass(frozen=True)
class Variant:
    """An experiment with some of the published protocol's defects."""

    name: str
    of: str  # the experiment of the config
    method: str
    variant: str
    around: str  # what it differs from
    switched: Bundle  # what is on in ``sound``, or off in ``thesis``; nothing in a parent
    defects: tuple[str, ...]  # those that are on, in the order of ``DEFECTS``
    protocol: str  # of data preparation, named after the defects of data that are switched
    parent: str | None
    experiments: dict[int, str]  # seed → its name once expanded; one seed, if nothing is drawn

    @property
    def scoring(self) -> tuple[str, ...]:
        """The defects of scoring that are on."""
        return tuple(name for name in published_settings.SCORING if name in self.defects)


def bundles(block: Ablation) -> list[Bundle]:
    """Return what is switched together; raises as ``defects.known``."""
    if isinstance(block.defects, str):
        if block.defects != "all":
            raise UserError(
                f"ablation.defects: there is no {block.defects!r}. Remedy: write all, or a list."
            )
        return [(name,) for name in published_settings.DEFECTS]
    made = [(item,) if isinstance(item, str) else tuple(item) for item in block.defects]
    names = [name for bundle in made for name in bundle]
    defects.known("defect", names, published_settings.DEFECTS)
    return made


def named(bundle: Bundle) -> str:
    """Return what a bundle is called: its defects, or the first of many."""
    name = "_and_".join(bundle)
    return name if len(name) <= LONGEST_NAME else f"{bundle[0]}_and_{len(bundle) - 1}_more"


def variants(config: Config) -> list[Variant]:
    """Return the variants of a config, parents before what differs from them."""
    block = config.ablation
    if block is None:
        return []
    switched: list[Bundle] = [(), *bundles(block)]
    return [
        _variant(config, of, around, bundle)
        for of in block.of
        for around in block.around
        for bundle in switched
    ]


def expanded(config: Config) -> Config:
    """Return the config whose experiments are its ablation's; a UserError if a setting misfits."""
    values: Mapping[str, Mapping[Any, Change]]
    values = config.ablation.settings if config.ablation else {}
    experiments: dict[str, Experiment] = {}
    protocols: dict[str, Protocol] = {}
    for variant in variants(config):
        own = config.experiments[variant.of]
        given = published_settings.changed(own.as_mapping(), variant.defects, values)
        shape = config.protocols[own.protocol].object_format
        data = [name for name in defects.SWITCHES if name in variant.defects]
        protocols[variant.protocol] = Protocol(defects=data or "none", object_format=shape)
        for seed, name in variant.experiments.items():
            drawn = {"seed": seed} if isinstance(own, Trained) else {}
            wrong = f"ablation.settings makes the experiment {name} wrong"
            settings = given | {"protocol": variant.protocol} | drawn
            experiments[name] = validated(Experiment, settings, wrong)
    made = {"experiments": experiments, "protocols": protocols, "columns": None, "seeds": []}
    return config.model_copy(update=made | {"ablation": None})


def problems(config: Config) -> Iterator[str]:
    """Yield what is wrong with the block, apart from the settings of the experiments it makes."""
    block = config.ablation
    if block is None:
        return
    for name in block.of:
        if name not in config.experiments:
            remedy = f"name some of {', '.join(config.experiments)}"
            missing = no_such(f"experiment {name!r}", name, config.experiments, remedy)
            yield f"ablation.of: {missing}"
            continue
        if name not in (config.columns or config.experiments):
            yield f"ablation.of: columns leaves {name} out. Remedy: add it there."
        own = config.experiments[name]
        protocol = config.protocols.get(own.protocol)
        if protocol and defects.chosen(protocol.defects):
            yield (
                f"ablation.of: {name} has defects already, those of {own.protocol}. "
                "Remedy: name an experiment whose protocol has none."
            )
        if isinstance(own, Trained) and own.start_from:
            yield (
                f"ablation.of: {name} starts from the adapter of {own.start_from}, which has no "
                "variants. Remedy: name experiments that start from the base model."
            )
    try:
        called = [named(bundle) for bundle in bundles(block)]
        defects.known("defect", block.settings, published_settings.DEFECTS)
    except UserError as error:
        yield f"ablation: {error}".replace("ablation: ablation.", "ablation.")
        return
    for name in sorted({name for name in called if called.count(name) > 1}):
        yield f"ablation.defects: two are called {name}. Remedy: drop one, or order it otherwise."


def _variant(config: Config, of: str, around: str, switched: Bundle) -> Variant:
    own = config.experiments[of]
    on = set(switched) if around == "sound" else set(published_settings.DEFECTS) - set(switched)
    parent = f"{of}_{around}"
    name = f"{parent}_{SWITCHED[around]}_{named(switched)}" if switched else parent
    seeds = config.ablation.seeds if config.ablation else []
    names = {seed: f"{name}_seed{seed}" for seed in seeds}
    return Variant(
        name=name,
        of=of,
        method=own.method,
        variant=own.variant,
        around=around,
        switched=switched,
        defects=tuple(each for each in published_settings.DEFECTS if each in on),
        protocol=_protocol(config, own, around, switched),
        parent=parent if switched else None,
        # What is not trained answers greedily, or draws by the run's seed.
        experiments=names if isinstance(own, Trained) else {config.seed: name},
    )


def _protocol(config: Config, own: Experiment, around: str, switched: Collection[str]) -> str:
    data = tuple(name for name in defects.SWITCHES if name in switched)
    name = f"{around}_{SWITCHED[around]}_{named(data)}" if data else around
    shape = config.protocols[own.protocol].object_format
    return name if shape == "json" else f"{name}_as_{shape}"
