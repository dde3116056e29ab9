"""A finished run as an RO-Crate: its results and records, and how they came about.

It follows the profile Workflow Run Crate 0.5: the run is an action of the Snakefile, each record
that of a stage. A manifest stands for the dataset tree, and ``model.json`` for the base model.
"""

import json
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

from rocrate.model.contextentity import ContextEntity
from rocrate.rocrate import ROCrate

from legor1.core.errors import UserError
from legor1.core.files import atomic, atomic_folder, read_json, sha256
from legor1.core.layout import IN_RUN
from legor1.core.provenance import RECORD
from legor1.core.templates import rendered

ROOT = Path(__file__).parents[3]
# Which profiles a crate follows, the terms that RO-Crate lacks, and file types by the name's end.
KNOWN = read_json(Path(__file__).with_suffix(".json"))
APACHE = "https://spdx.org/licenses/Apache-2.0"
Record = dict[str, Any]  # the content of a .provenance.json
RESULTS = (IN_RUN.report, IN_RUN.gallery, IN_RUN.table, IN_RUN.comparison, IN_RUN.figure1)


def write_crate(run: Path, out: Path, licence: str | None = None) -> dict[str, int]:
    """Write the crate of a run: a zip file if ``out`` ends in .zip, else a folder.

    An earlier crate at ``out`` is replaced; ``licence`` is the URL of that of the contents. Returns
    how many files and actions are in it. A UserError if the run is not finished, a result has
    changed since it was made, or the licence cannot be told.
    """
    if out.is_dir() and not (out / "ro-crate-metadata.json").is_file():
        raise UserError(f"{out} is a folder, but no RO-Crate. Remedy: name another --out.")
    crate = _Crate(run, licence or _licence(run))
    if out.suffix == ".zip":
        with atomic(out) as temporary:
            crate.metadata.write_zip(temporary)
    else:
        with atomic_folder(out) as folder:
            crate.metadata.write(folder)
    return {"files": len(crate.files), "actions": crate.actions}


def _licence(run: Path) -> str:
    config = read_json(run / IN_RUN.config)
    own = config["base"]["source"] in ("shipped", "rebuild")
    if own and config["dataset"]["source"] == "synthetic":
        return APACHE
    raise UserError(
        f"{run} holds what was made of a dataset and a model with licences of their own. "
        "Remedy: name a licence that they allow, by --licence URL."
    )


class _Crate:
    """The metadata under construction, and the files that are in it."""

    def __init__(self, run: Path, licence: str) -> None:
        self.run, self.actions = run, 0
        self.files: dict[Path, ContextEntity] = {}
        self.metadata = ROCrate(version="1.1")
        self.metadata.metadata.extra_terms.update(KNOWN["terms"])
        records = {path: read_json(path) for path in sorted(run.rglob(f"*{RECORD}"))}
        last = records.get(run / f"{IN_RUN.report}{RECORD}")
        if last is None:
            raise UserError(f"{run} has no record of report.html. Remedy: finish the run.")
        self._describe_root(licence, max(map(_end, records.values())))
        self._add_workflow(_version(last))
        for path, record in records.items():
            self._add_stage(path, record)
        texts = "Run of the pipeline", "From the config to the report, over all records."
        files = [run / IN_RUN.config], [run / name for name in RESULTS]
        self._add_action("#run", self.workflow, texts, [*records.values()], files)

    def _describe_root(self, licence: str, end: str) -> None:
        config, root = read_json(self.run / IN_RUN.config), self.metadata.root_dataset
        root["name"] = config["report"]["title"]
        root["description"] = (
            f"Run {config['run']} of the legor1 pipeline: predictions, scores and report of "
            f"{', '.join(config['experiments'])}, with a record of how each was made."
        )
        text = rendered("crate.md.j2", {"root": root, "run": self.run.name})
        facts = {"name": "README", "encodingFormat": "text/markdown", "about": root}
        self.metadata.add_file(StringIO(text), "README.md", properties=facts)
        facts = {"@id": licence, "@type": "CreativeWork", "name": licence.rsplit("/", 1)[-1]}
        root["license"] = self.metadata.add_jsonld(facts)
        root["datePublished"] = end
        root["conformsTo"] = [self.metadata.add_jsonld(dict(each)) for each in KNOWN["profiles"]]

    def _add_workflow(self, version: str) -> None:
        """Add the workflow: the Snakefile, with the rules, settings and locks that it needs."""
        self.workflow = self.metadata.add_workflow(
            ROOT / "Snakefile", "Snakefile", main=True, lang="snakemake"
        )
        patterns = ("config.yaml", "workflow/Snakefile", "workflow/rules/*.smk", "envs/*.txt")
        parts = [path for pattern in patterns for path in sorted(ROOT.glob(pattern))]
        files = [self._add_file(path, path.relative_to(ROOT).as_posix()) for path in parts]
        self.workflow["name"] = "legor1"
        self.workflow["encodingFormat"] = "text/plain"
        self.workflow["version"] = version
        self.workflow["hasPart"] = files

    def _add_stage(self, path: Path, record: Record) -> None:
        """Add the action that a record tells of, with the files that it took and made."""
        name = path.relative_to(self.run).as_posix().removesuffix(RECORD)
        for output in record["outputs"]:
            file, digest = Path(output["path"]), output["sha256"]
            if digest and (not file.is_file() or sha256(file) != digest):
                raise UserError(
                    f"{file} is not what {path} says it is. Remedy: remove it and run again."
                )
        settings = json.dumps(record["settings"], sort_keys=True)
        taken, made = ([Path(f["path"]) for f in record[key]] for key in ("inputs", "outputs"))
        texts = f"{record['stage']}: {Path(name).name}", f"Settings: {settings}"
        action = self._add_action(f"#{name}", self._stage(record), texts, [record], (taken, made))
        self._add_file(path)["about"] = action

    def _add_action(
        self,
        identifier: str,
        instrument: ContextEntity,
        texts: tuple[str, str],
        records: list[Record],
        files: tuple[list[Path], list[Path]],
    ) -> ContextEntity:
        """Add an action of its name and description, with what it took and what it made."""
        properties = {
            "name": texts[0],
            "description": texts[1],
            "startTime": min(record["started"] for record in records),
            "endTime": max(map(_end, records)),
            "actionStatus": "http://schema.org/CompletedActionStatus",
        }
        taken, made = map(self._results, files)
        action = self.metadata.add_action(instrument, identifier, taken, made, properties)
        self.metadata.root_dataset.append_to("mentions", action)
        self.actions += 1
        return action

    def _stage(self, record: Record) -> ContextEntity:
        """Return the program of a record: one stage, at one commit."""
        version = _version(record)
        identifier = f"#legor1-{record['stage']}-{version.replace(' ', '-')}"
        program = {
            "@id": identifier,
            "@type": "SoftwareApplication",
            "name": f"legor1 {record['stage']}",
            "version": version,
            "softwareRequirements": [f"{k} {v}" for k, v in record["versions"].items()],
        }
        return self.metadata.get(identifier) or self.metadata.add_jsonld(program)

    def _results(self, paths: list[Path]) -> ContextEntity | list[ContextEntity]:
        """Return the entities of those paths that are files of the run, each once.

        A manifest stands for its tree. RO-Crate wants one alone without a list around it.
        """
        files = [path.with_name("manifest.json") if path.is_dir() else path for path in paths]
        inside = [f for f in files if f.is_file() and self.run.resolve() in f.resolve().parents]
        entities = list(dict.fromkeys(self._add_file(file) for file in inside))
        return entities[0] if len(entities) == 1 else entities

    def _add_file(self, path: Path, place: str | None = None) -> ContextEntity:
        """Add a file, of the run unless its ``place`` in the crate is named, once."""
        real = path.resolve()
        if real not in self.files:
            place = place or f"results/{self.run.name}/{real.relative_to(self.run.resolve())}"
            facts = {"contentSize": str(path.stat().st_size), "sha256": sha256(path)}
            kind = KNOWN["formats"].get(path.suffix, "text/plain")
            facts |= {"encodingFormat": kind, "name": place}
            self.files[real] = self.metadata.add_file(path, place, properties=facts)
        return self.files[real]


def _end(record: Record) -> str:
    """Return when a stage ended, to the second, in UTC as the records have it."""
    seconds = timedelta(seconds=record["wall_seconds"])
    return (datetime.fromisoformat(record["started"]) + seconds).isoformat(timespec="seconds")


def _version(record: Record) -> str:
    """Return the package's version, the commit and whether the code differed from it."""
    commit = (record["commit"] or "unknown") + ("-dirty" if record["dirty"] else "")
    return f"{record['versions'].get('legor1', 'unknown')} {commit}"
