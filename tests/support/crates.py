"""The public RO-Crate validator, which needs no network here.

It would fetch the JSON-LD context of RO-Crate 1.1. Its cache is given one with just the terms that
a crate of ours uses, so that a misspelt term is an unknown one.
"""

import io
import json
import subprocess
import sys
from pathlib import Path

from requests.adapters import HTTPAdapter
from requests_cache import CachedSession
from urllib3 import HTTPResponse

URL = "https://w3id.org/ro/crate/1.1/context"
SCHEMA_ORG = """
    ComputerLanguage CreateAction CreativeWork Dataset SoftwareApplication SoftwareSourceCode
    about actionStatus contentSize datePublished description encodingFormat endTime hasPart
    identifier instrument license mainEntity mentions name object programmingLanguage result
    softwareRequirements startTime url version
"""
CONTEXT = {term: f"http://schema.org/{term}" for term in SCHEMA_ORG.split()} | {
    "File": "http://schema.org/MediaObject",
    "ComputationalWorkflow": "https://bioschemas.org/ComputationalWorkflow",
    "conformsTo": "http://purl.org/dc/terms/conformsTo",
}


class _Context(HTTPAdapter):
    def send(self, request, *_, **__):
        body = io.BytesIO(json.dumps({"@context": CONTEXT}).encode())
        kind = {"Content-Type": "application/ld+json"}
        answer = HTTPResponse(body=body, status=200, headers=kind, preload_content=False)
        return self.build_response(request, answer)


def validate(crate: Path, cache: Path) -> subprocess.CompletedProcess:
    """Validate a crate against Workflow Run Crate 0.5 and all that this builds upon."""
    with CachedSession(str(cache), backend="sqlite") as session:
        session.mount("https://", _Context())
        session.get(URL)
    program = "from rocrate_validator.cli import cli; cli()"
    command = [sys.executable, "-c", program, "--no-interactive", "--disable-color"]
    command += ["validate", "--offline", "--cache-path", str(cache), "--output-format", "json"]
    command += ["--profile-identifier", "workflow-run-crate-0.5", str(crate)]
    return subprocess.run(command, capture_output=True, text=True, check=False)
