"""A hub on 127.0.0.1 that speaks what the installed client asks for, and misbehaves on demand.

Small files come from ``/resolve``; large ones (LFS) are redirected from there to ``/cdn`` on
another port, with byte ranges. There are no Xet headers, so the client downloads by plain HTTP.
"""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from urllib.parse import parse_qs, unquote, urlsplit

LARGE = 1000  # bytes; from here on a file is in large-file storage
API = re.compile(r"/api/(dataset|model)s/([^/]+/[^/]+)/(revision|tree)/([^/]+)")
RESOLVE = re.compile(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)")
CDN = re.compile(r"/cdn/([0-9a-f]{64})")

Files = dict[str, bytes]


@dataclass
class Request:
    """What a client asked."""

    method: str
    path: str
    range: str | None
    token: str | None


@dataclass
class Answer:
    """What it gets; ``cut_after`` ends the connection after so many bytes of the body."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: int | None = None


class Hub:
    """Repositories by (kind, name), their commits and branches, and the faults to come."""

    def __init__(self) -> None:
        self.commits: dict[str, Files] = {}
        self.branches: dict[str, str] = {}
        self.listed: dict[str, Files] = {}  # commit → files that the listing claims instead
        self.repos = {("dataset", "owner/data"), ("model", "owner/model")}
        self.requests: list[Request] = []
        self._stored: Files = {}  # by their hashes
        self.page = 1000
        self._faults: list[tuple[str, str, int, Callable[[Answer], Answer]]] = []
        self._lock = Lock()
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                hub._serve(self)

            do_HEAD = do_GET

            def log_message(self, *_) -> None:
                pass

        # The client follows a redirect in another way if it leads to another port.
        self._servers = [ThreadingHTTPServer(("127.0.0.1", 0), Handler) for _ in range(2)]
        self.address, self.cdn = (f"http://127.0.0.1:{one.server_port}" for one in self._servers)
        for server in self._servers:
            Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def commit(self, files: Files, branch: str = "main", name: str = "") -> str:
        """Add a commit of these files, which the branch then is; ``name`` is a hash by default."""
        text = json.dumps({name: hashlib.sha256(files[name]).hexdigest() for name in sorted(files)})
        name = name or hashlib.sha1(text.encode()).hexdigest()
        self.commits[name] = dict(files)
        self._stored |= {hashlib.sha256(content).hexdigest(): content for content in files.values()}
        self.branches[branch] = name
        return name

    def spoil(
        self, method: str, path: str, change: Callable[[Answer], Answer], times: int = 1
    ) -> None:
        """Change so many answers to this method (a regular expression) and path (a part of it)."""
        self._faults.append((method, path, times, change))

    def fail(
        self, status: int, path: str, times: int = 1, method: str = "GET|HEAD", **headers: str
    ) -> None:
        """Answer with an error; ``headers`` have _ for -."""
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        self.spoil(method, path, lambda _: Answer(status, b"{}", told), times)

    def count(self, method: str, path: str) -> int:
        return sum(one.method == method and path in one.path for one in self.requests)

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        token, asked = handler.headers.get("Authorization"), handler.headers.get("Range")
        request = Request(handler.command, unquote(handler.path), asked, token)
        with self._lock:
            self.requests.append(request)
        answer = self._spoilt(request, self._answer(request))
        handler.send_response(answer.status)
        for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        if request.method == "GET":
            handler.wfile.write(answer.body[: answer.cut_after])
        if answer.cut_after is not None:
            handler.close_connection = True

    def _spoilt(self, request: Request, answer: Answer) -> Answer:
        with self._lock:
            for number, (method, path, times, change) in enumerate(self._faults):
                if times and re.fullmatch(method, request.method) and path in request.path:
                    self._faults[number] = (method, path, times - 1, change)
                    return change(answer)
        return answer

    def _answer(self, request: Request) -> Answer:
        url = urlsplit(request.path)
        if found := API.fullmatch(url.path):
            return self._describe(*found.groups(), query=parse_qs(url.query))
        if found := CDN.fullmatch(url.path):
            return self._large(found[1], request.range)
        if found := RESOLVE.fullmatch(url.path):
            kind = "dataset" if found[1] else "model"
            return self._resolve(kind, *found.groups()[1:])
        return Answer(404)

    def _find(self, kind: str, repo: str, revision: str) -> str | Answer:
        if (kind, repo) not in self.repos:
            return Answer(401, b"{}", {"X-Error-Code": "RepoNotFound"})
        commit = self.branches.get(revision, revision)
        known = commit in self.commits
        return commit if known else Answer(404, b"{}", {"X-Error-Code": "RevisionNotFound"})

    def _describe(self, kind: str, repo: str, what: str, revision: str, query: dict) -> Answer:
        commit = self._find(kind, repo, revision)
        if isinstance(commit, Answer):
            return commit
        if what == "revision":
            return Answer(body=json.dumps({"id": repo, "sha": commit}).encode())
        files = self.listed.get(commit, self.commits[commit])
        start = int(query.get("cursor", ["0"])[0])
        folders = [{"type": "directory", "path": "qwen_data", "oid": "0" * 40}][: start == 0]
        names = sorted(files)[start : start + self.page]
        body = json.dumps(folders + [_entry(name, files[name]) for name in names]).encode()
        last = start + self.page >= len(files)
        following = f"{self.address}/api/{kind}s/{repo}/tree/{revision}?cursor={start + self.page}"
        return Answer(body=body, headers={} if last else {"Link": f'<{following}>; rel="next"'})

    def _resolve(self, kind: str, repo: str, revision: str, name: str) -> Answer:
        commit = self._find(kind, repo, revision)
        if isinstance(commit, Answer):
            return commit
        told = {"X-Repo-Commit": commit}
        content = self.commits[commit].get(name)
        if content is None:
            return Answer(404, b"{}", told | {"X-Error-Code": "EntryNotFound"})
        if len(content) < LARGE:
            return Answer(body=content, headers=told | {"ETag": f'"{blob(content)}"'})
        sha256 = hashlib.sha256(content).hexdigest()
        told |= {"X-Linked-ETag": f'"{sha256}"', "X-Linked-Size": str(len(content))}
        return Answer(302, headers=told | {"Location": f"{self.cdn}/cdn/{sha256}"})

    def _large(self, sha256: str, asked: str | None) -> Answer:
        content = self._stored[sha256]
        if not asked:
            return Answer(body=content)
        first = int(re.fullmatch(r"bytes=(\d+)-\d*", asked)[1])
        told = {"Content-Range": f"bytes {first}-{len(content) - 1}/{len(content)}"}
        return Answer(206, content[first:], told)


def blob(content: bytes) -> str:
    """Return what Git calls this content."""
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()


def _entry(name: str, content: bytes) -> dict:
    entry = {"type": "file", "path": name, "size": len(content), "oid": blob(content)}
    if len(content) >= LARGE:
        sha256 = hashlib.sha256(content).hexdigest()
        entry |= {"oid": "1" * 40, "lfs": {"oid": sha256, "size": len(content), "pointerSize": 130}}
    return entry
