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

ROOT = Path(__file__).parents[3]
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": ("Workflow RO-Crate", "1.0"),
}
TERMS = {"sha256": "https://w3id.org/ro/terms/workflow-run#sha256"}
APACHE = "https://spdx.org/licenses/Apache-2.0"
COMPLETED = "http://schema.org/CompletedActionStatus"
README = """\
# {title}

{description} Open `results/{run}/report.html`. `ro-crate-metadata.json` tells, for programs, which
stage made which file of which; the same is for people in the `.provenance.json` beside each result.
"""
RESULTS = (IN_RUN.report, IN_RUN.gallery, IN_RUN.table, IN_RUN.comparison, IN_RUN.figure1)
FORMATS = {
    ".csv": "text/csv",
    ".html": "text/html",
    ".json": "application/json",
    ".jsonl": "application/jsonl",
    ".md": "text/markdown",
    ".parquet": "application/vnd.apache.parquet",
    ".safetensors": "application/octet-stream",
}


def write_crate(run: Path, out: Path, licence: str | None = None) -> dict[str, int]:
    """Write the crate of a run: a zip file if ``out`` ends in .zip, else a folder.

    An earlier crate at ``out`` is replaced; ``licence`` is the URL of that of the contents. Returns
    how many files and actions are in it.

    Raises:
        UserError: the run is not finished, a result has changed since it was made, the licence
            cannot be told, or ``out`` is something else than a crate.
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
        self.run, self.files, self.actions = run, dict[Path, Any](), 0
        self.metadata = ROCrate(version="1.1")
        self.metadata.metadata.extra_terms.update(TERMS)
        found = [(path, read_json(path)) for path in sorted(run.rglob(f"*{RECORD}"))]
        if run / f"{IN_RUN.report}{RECORD}" not in dict(found):
            raise UserError(f"{run} has no record of report.html. Remedy: finish the run.")
        self._describe_root(licence, found)
        self._add_workflow(dict(found)[run / f"{IN_RUN.report}{RECORD}"])
        for path, record in found:
            self._add_stage(path, record)
        self._add_run([record for _, record in found])

    def _describe_root(self, licence: str, found: list[tuple[Path, dict[str, Any]]]) -> None:
        config, root = read_json(self.run / IN_RUN.config), self.metadata.root_dataset
        named = {"@type": "CreativeWork", "name": licence.rsplit("/", 1)[-1]}
        root["name"] = title = config["report"]["title"]
        root["description"] = described = (
            f"Run {config['run']} of the legor1 pipeline: predictions, scores and report of "
            f"{', '.join(config['experiments'])}, with a record of how each was made."
        )
        text = README.format(title=title, description=described, run=self.run.name)
        facts = {"name": "README", "encodingFormat": "text/markdown", "about": root}
        self.metadata.add_file(StringIO(text), "README.md", properties=facts)
        root["license"] = self._add(licence, named)
        root["datePublished"] = _iso(max(_end(record) for _, record in found))
        root["conformsTo"] = [
            self._add(url, {"@type": "CreativeWork", "name": name, "version": version})
            for url, (name, version) in PROFILES.items()
        ]

    def _add_workflow(self, last: dict[str, Any]) -> None:
        """Add the workflow: the Snakefile, with the rules, settings and locks that it needs.

        Its version is that of the ``last`` record.
        """
        self.workflow = self.metadata.add_workflow(
            ROOT / "Snakefile", "Snakefile", main=True, lang="snakemake"
        )
        self.workflow["name"] = "legor1"
        self.workflow["encodingFormat"] = "text/plain"
        self.workflow["version"] = _version(last)
        parts = [ROOT / "config.yaml", ROOT / "workflow/Snakefile"]
        for kind in ("workflow/rules/*.smk", "envs/*.txt"):
            parts += sorted(ROOT.glob(kind))
        self.workflow["hasPart"] = [
            self._add_file(path, path.relative_to(ROOT).as_posix()) for path in parts
        ]

    def _add_stage(self, path: Path, record: dict[str, Any]) -> None:
        """Add the action that a record tells of, with the files that it took and made."""
        self._check(path, record)
        taken = [self._result(Path(one["path"])) for one in record["inputs"]]
        made = [self._result(Path(one["path"])) for one in record["outputs"]]
        name = path.name.removesuffix(RECORD)
        properties = {"name": f"{record['stage']}: {name}", "instrument": self._stage(record)}
        properties["description"] = f"Settings: {json.dumps(record['settings'], sort_keys=True)}"
        identifier = f"#{path.relative_to(self.run).as_posix().removesuffix(RECORD)}"
        action = self._add_action(identifier, properties, [record], taken, made)
        self._add_file(path, self._place(path))["about"] = action

    def _add_run(self, found: list[dict[str, Any]]) -> None:
        """Add the action of the whole: from the config to the report."""
        made = [self._result(self.run / name) for name in RESULTS if (self.run / name).is_file()]
        properties = {"name": "Run of the pipeline", "instrument": self.workflow}
        properties["description"] = "From the config to the report, over all records."
        taken = [self._result(self.run / IN_RUN.config)]
        self._add_action("#run", properties, found, taken, made)

    def _add_action(
        self,
        identifier: str,
        properties: dict[str, Any],
        found: list[dict[str, Any]],
        taken: list[Any],
        made: list[Any],
    ) -> Any:
        start = min(datetime.fromisoformat(record["started"]) for record in found)
        properties |= {
            "@type": "CreateAction",
            "startTime": _iso(start),
            "endTime": _iso(max(map(_end, found))),
            "actionStatus": COMPLETED,
            "object": _distinct(taken),
            "result": _distinct(made),
        }
        action = self._add(identifier, properties)
        self.metadata.root_dataset.append_to("mentions", action)
        self.actions += 1
        return action

    def _stage(self, record: dict[str, Any]) -> Any:
        """Return the program of a record: one stage, at one commit."""
        version = _version(record)
        identifier = f"#legor1-{record['stage']}-{version.replace(' ', '-')}"
        properties = {
            "@type": "SoftwareApplication",
            "name": f"legor1 {record['stage']}",
            "version": version,
            "softwareRequirements": [f"{k} {v}" for k, v in record["versions"].items()],
        }
        return self.metadata.get(identifier) or self._add(identifier, properties)

    def _check(self, path: Path, record: dict[str, Any]) -> None:
        """Make sure that the results which a record names are those that are there."""
        for one in record["outputs"]:
            file = Path(one["path"])
            if one["sha256"] and (not file.is_file() or sha256(file) != one["sha256"]):
                raise UserError(
                    f"{file} is not what {path} says it is. Remedy: remove it and run again."
                )

    def _result(self, path: Path) -> Any:
        """Return the entity of a file of the run; None of a tree without manifest, or of others."""
        path = path.with_name("manifest.json") if path.is_dir() else path
        inside = path.is_file() and self.run.resolve() in path.resolve().parents
        return self._add_file(path, self._place(path)) if inside else None

    def _place(self, path: Path) -> str:
        return f"results/{self.run.name}/{path.resolve().relative_to(self.run.resolve())}"

    def _add_file(self, path: Path, place: str) -> Any:
        if path.resolve() not in self.files:
            facts = {"contentSize": str(path.stat().st_size), "sha256": sha256(path)}
            facts["encodingFormat"] = FORMATS.get(path.suffix, "text/plain")
            added = self.metadata.add_file(path, place, properties=facts | {"name": place})
            self.files[path.resolve()] = added
        return self.files[path.resolve()]

    def _add(self, identifier: str, properties: dict[str, Any]) -> Any:
        return self.metadata.add(ContextEntity(self.metadata, identifier, properties=properties))


def _end(record: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(record["started"]) + timedelta(seconds=record["wall_seconds"])


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")


def _version(record: dict[str, Any]) -> str:
    """Return the package's version, the commit and whether the code differed from it."""
    commit = (record["commit"] or "unknown") + ("-dirty" if record["dirty"] else "")
    return f"{record['versions'].get('legor1', 'unknown')} {commit}"


def _distinct(entities: list[Any]) -> Any:
    """Return each entity once; RO-Crate wants one alone without a list around it."""
    distinct = list({one.id: one for one in entities if one is not None}.values())
    return distinct[0] if len(distinct) == 1 else distinct
