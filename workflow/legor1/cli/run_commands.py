"""The commands about a whole run: its config, its cost, how it stands, and where it is kept."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from legor1.cli import parameters as p
from legor1.cli.command import Facts, results_command, study_command
from legor1.core.errors import UserError
from legor1.core.files import write_json

if TYPE_CHECKING:  # pydantic takes a while, and few commands need it
    from legor1.config.models import Config


def _resolved(overlays: Sequence[str], base_config: str) -> "Config":
    from legor1.config.settings import load, read, typed

    return typed(load(base_config, *map(read, overlays)))


@study_command("config workflow/configs/demo.yaml", p.OVERLAYS, p.BASE_CONFIG, p.OUT_JSON)
def config(overlays: Sequence[str], base_config: str, out: Path | None) -> None:
    """Print the resolved config, or write it."""
    config = _resolved(overlays, base_config).as_mapping()
    if out:
        write_json(out, config)
    else:
        print(json.dumps(config, indent=2, ensure_ascii=False))


@study_command("check workflow/configs/demo.yaml", p.OVERLAYS, p.BASE_CONFIG)
def check(overlays: Sequence[str], base_config: str) -> None:
    """Say what is missing to run a config on this machine."""
    from legor1.planning.preflight import require

    config = _resolved(overlays, base_config)
    require(config, Path("results") / config.run)
    print(f"run {config.run}: nothing is missing here")


@study_command(
    "plan workflow/configs/demo.yaml --gpu A100-40 --out plan.json",
    *(p.OVERLAYS, p.BASE_CONFIG, p.GPU),
    p.path("--run", "the run's folder: count the conversations that are there", None, **p.MAYBE),
    p.OUT_JSON,
)
def plan(
    overlays: Sequence[str], base_config: str, gpu: str | None, run: Path | None, out: Path | None
) -> None:
    """Say what a run will need of a GPU: tokens, memory by part, hours; or that it does not fit."""
    from legor1.planning.plan import misfits, plan, render

    content = plan(_resolved(overlays, base_config), gpu, run)
    if out:
        write_json(out, content)
    print(render(content))
    if misfits(content):
        raise UserError("the run does not fit; the plan says where and what to change")


@study_command("watch results/demo", p.RUN, p.ONCE, p.SECONDS, p.WAIT)
def watch(run: Path, once: bool, every: float, wait: bool) -> None:
    """Show how a running study stands, by its files alone, until it is done or Ctrl-C."""
    from legor1.monitor.screen import watch

    watch(run, once=once, every=every, wait=wait)


@results_command(
    "crate results/demo --out demo.crate.zip",
    *(p.RUN, p.LICENCE, p.out("the folder or .zip file to write", role=None)),
)
def crate(run: Path, licence: str | None, out: Path) -> Facts:
    """Pack a finished run as an RO-Crate: its results, their records, and how they came about."""
    from legor1.publishing.crate import write_crate

    return write_crate(run, out, licence)


@results_command("publish results/demo", p.RUN)
def publish(run: Path) -> Facts:
    """Have DVC keep a finished run, and push it to the remote."""
    from legor1.publishing.publish import publish

    return publish(run)


@results_command("restore results/demo", p.RUN)
def restore(run: Path) -> Facts:
    """Bring a published run back from the remote and check every file of it."""
    from legor1.publishing.publish import restore

    return restore(run)
