"""How certain the numbers are: their confidence, probes of rewards, defects, hashes."""

from collections.abc import Iterator
from functools import partial

from legor1.core import provenance
from legor1.evaluation import suites
from legor1.published import defects
from legor1.publishing import outputs
from legor1.publishing.outputs import Output
from legor1.report.citation import Cited, Record, cite
from legor1.report.study import Experiment, Study

NOT_INPUTS = ("tables", "gallery_images")  # made together with the report


def confidence(study: Study) -> Cited:
    """Return the confidence of the intervals as whole percent, unbroken."""
    cited = partial(cite, study.config_file, study.config, "evaluation", "confidence")
    return cited(write=lambda fraction: f"{100 * fraction:.0f}\N{NO-BREAK SPACE}%")


def probes(study: Study) -> Iterator[tuple[Experiment, int, Record]]:
    """Yield what a probe earned and its number, of the rewards that an experiment is trained by."""
    for e in study.experiments:
        trained_by = {*map(suites.label, study.settings(e).get("training", {}).get("rewards", {}))}
        for i, earned in enumerate(study.probes[e.name].get("probes", [])):
            if earned["reward"] in trained_by:
                yield e, i, earned


def switches(study: Study, protocol: str) -> str:
    """Return the defects that a protocol of data preparation switches on."""
    chosen = defects.chosen(study.config["protocols"][protocol]["defects"])
    return ", ".join(sorted(chosen)) or "none"


def hashes(study: Study) -> dict[str, Output]:
    """Return every output that the report was made from, as DVC knows it.

    While the study is running there is none: files come and go.
    """
    listed = [] if study.missing else outputs.listed(study.folder)
    inputs = [name for name in listed if not name.endswith((".html", provenance.RECORD))]
    return outputs.hashed(study.folder, [name for name in inputs if name not in NOT_INPUTS])
