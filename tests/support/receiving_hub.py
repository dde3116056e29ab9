"""A hub on 127.0.0.1 that takes what the installed client uploads: small files and large ones."""

import base64
import json
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

COMMIT = "c0" * 20


class ReceivingHub:
    """Repositories as (kind, name) → whether private, and the files that arrived in them."""

    def __init__(self) -> None:
        self.private: dict[tuple[str, str], bool] = {}
        self.files: dict[str, bytes] = {}
        self.stored: dict[str, bytes] = {}  # large files by their SHA-256
        self.tokens: set[str | None] = set()
        self.refuse: tuple[str, int] | None = None  # a part of a path, and the status
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if "/commit/" in self.path:
                    hub.tokens.add(self.headers.get("Authorization"))
                status, content = hub.answer(self.command, self.path.partition("?")[0], body)
                answer = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST = do_PUT = serve

            def log_message(self, *_) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, object]:
        """Return the status and content of the answer."""
        if self.refuse and self.refuse[0] in path:
            return self.refuse[1], {"error": "no right to do this"}
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}
        if found := re.fullmatch(r"/api/(dataset|model)s/([^/]+/[^/]+)", path):
            known = found.groups() in self.private
            facts = {"id": found[2], "sha": COMMIT, "private": self.private.get(found.groups())}
            return (200, facts) if known else (404, {})
        if path.endswith("/preupload/main"):
            files = json.loads(body)["files"]
            modes = [{"path": f["path"], "uploadMode": self._mode(f)} for f in files]
            return 200, {"files": [mode | {"shouldIgnore": False} for mode in modes]}
        if path.endswith("/info/lfs/objects/batch"):
            return 200, self._batch(json.loads(body)["objects"])
        if method == "PUT":
            self.stored[path.rpartition("/")[2]] = body
            return 200, {}
        if path.endswith("/commit/main"):
            return self._commit(path, body)
        return 404, {}

    def _create(self, asked: dict) -> tuple[int, object]:
        name = "/".join(filter(None, (asked.get("organization"), asked["name"])))
        key = asked.get("type", "model"), name
        if key in self.private:
            return 409, {"error": "exists", "url": f"{self.address}/{name}"}
        self.private[key] = asked["visibility"] == "private"
        return 200, {"url": f"{self.address}/{'datasets/' * (key[0] == 'dataset')}{name}"}

    @staticmethod
    def _mode(file: dict) -> str:
        return "lfs" if file["path"].endswith((".safetensors", ".png")) else "regular"

    def _batch(self, objects: list[dict]) -> dict:
        def upload(entry: dict) -> dict:
            href = {"href": f"{self.address}/store/{entry['oid']}"}
            return {"oid": entry["oid"], "size": entry["size"], "actions": {"upload": href}}

        return {"transfer": "basic", "objects": [upload(entry) for entry in objects]}

    def _commit(self, path: str, body: bytes) -> tuple[int, object]:
        for line in body.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                self.files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                self.files[value["path"]] = self.stored[value["oid"]]
        where = path.removeprefix("/api/").partition("/commit/")[0].removeprefix("models/")
        url = f"{self.address}/{where}/commit/{COMMIT}"
        return 200, {"success": True, "commitOid": COMMIT, "commitUrl": url, "hookOutput": ""}
