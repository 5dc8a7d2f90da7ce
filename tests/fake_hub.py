"""A Hub on this machine: enough of its HTTP interface to push by huggingface_hub and to load by transformers."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit


TEXT_SUFFIXES = (".md", ".json", ".py", ".txt", ".jinja", ".jsonl")


@dataclass
class Repo:
    """Files of each commit: {path: content}."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    last: str = "0" * 40
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def files(self) -> dict[str, bytes]:
        return self.commits.get(self.last, {})

    def commit(self, files: dict[str, bytes]) -> str:
        content = [self.last, *(f"{path}:{hashlib.sha256(data).hexdigest()}" for path, data in sorted(files.items()))]
        self.last = hashlib.sha1("\n".join(content).encode()).hexdigest()
        self.commits[self.last] = files
        return self.last

    def at(self, revision: str) -> tuple[str, dict[str, bytes]] | None:
        commit = self.last if revision == "main" else revision
        return (commit, self.commits[commit]) if commit in self.commits else None


def blob_id(content: bytes) -> str:
    """The id that git gives to a file."""
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()


@dataclass
class Hub:
    """The server's state; `uploads` are the large files that were sent, `fail_uploads` the number that will fail."""

    url: str = ""
    repos: dict[str, Repo] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    uploads: list[str] = field(default_factory=list)
    fail_uploads: int = 0

    def files(self, kind: str, name: str) -> dict[str, bytes]:
        return self.repos[f"{kind}s/{name}"].files


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def reply(self, content: Any = None, status: int = 200, headers: dict[str, str] | None = None) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content or {}).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def missing(self, what: str = "EntryNotFound") -> None:
        self.reply({"error": what}, 404, {"X-Error-Code": what})

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            content = b""
            while size := int(self.rfile.readline(), 16):
                content += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return content
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def do_POST(self) -> None:
        path, body = unquote(urlsplit(self.path).path), self.body()
        if path == "/api/repos/create":
            self.create(json.loads(body))
        elif path == "/api/validate-yaml":
            self.reply({"errors": [], "warnings": []})
        elif found := re.fullmatch(r"/(?:(dataset|space)s/)?(.+)\.git/info/lfs/objects/batch", path):
            self.batch(json.loads(body))
        elif found := re.fullmatch(r"/api/(\w+/[^/]+/[^/]+)/(preupload|commit|variables)(?:/(.+))?", path):
            getattr(self, found[2])(self.hub.repos[found[1]], body)
        else:
            self.missing(path)

    def create(self, request: dict[str, Any]) -> None:
        name = f"{request.get('organization') or 'me'}/{request['name'].split('/')[-1]}"
        key = f"{request.get('type') or 'model'}s/{name}"
        prefix = "" if key.startswith("models/") else f"{key.split('/')[0]}/"
        content = {"url": f"{self.hub.url}/{prefix}{name}", "name": name, "id": name}
        status = 409 if key in self.hub.repos else 200
        self.hub.repos.setdefault(key, Repo())
        self.reply(content, status)

    def preupload(self, repo: Repo, body: bytes) -> None:
        files = []
        for file in json.loads(body)["files"]:
            path, known = file["path"], repo.files.get(file["path"])
            is_text = path.endswith(TEXT_SUFFIXES) and file["size"] < 10_000_000
            oid = None if known is None else blob_id(known) if is_text else hashlib.sha256(known).hexdigest()
            mode = "regular" if is_text else "lfs"
            files.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        self.reply({"files": files})

    def batch(self, request: dict[str, Any]) -> None:
        objects = []
        for wanted in request["objects"]:
            upload = {"upload": {"href": f"{self.hub.url}/blobs/{wanted['oid']}"}}
            objects.append({**wanted, **({} if wanted["oid"] in self.hub.blobs else {"actions": upload})})
        self.reply({"transfer": "basic", "objects": objects})

    def commit(self, repo: Repo, body: bytes) -> None:
        files = dict(repo.files)
        for line in body.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                files[value["path"]] = self.hub.blobs[value["oid"]]
            elif entry["key"] != "header":
                raise AssertionError(entry["key"])
        oid = repo.commit(files)
        self.reply({"commitUrl": f"{self.hub.url}/me/x/commit/{oid}", "commitOid": oid, "success": True})

    def variables(self, repo: Repo, body: bytes) -> None:
        entry = json.loads(body)
        repo.variables[entry["key"]] = entry["value"]
        self.reply({name: {"value": value} for name, value in repo.variables.items()})

    def do_PUT(self) -> None:
        content, oid = self.body(), self.path.rpartition("/")[2]
        if self.hub.fail_uploads:
            self.hub.fail_uploads -= 1
            self.reply({"error": "gone"}, 400)
            return
        assert hashlib.sha256(content).hexdigest() == oid
        self.hub.uploads.append(oid)
        self.hub.blobs[oid] = content
        self.reply()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if found := re.fullmatch(r"/api/(\w+/[^/]+/[^/]+)/tree/([^/]+)(?:/(.+))?", path):
            self.tree(found[1], found[2], found[3])
        elif found := re.fullmatch(r"/api/(\w+/[^/]+/[^/]+)(?:/revision/([^/]+))?", path):
            self.info(found[1], found[2] or "main")
        elif found := re.fullmatch(r"/(?:(dataset|space)s/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            self.resolve(f"{found[1] or 'model'}s/{found[2]}", found[3], found[4])
        else:
            self.missing()

    do_HEAD = do_GET

    def find(self, key: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        found = self.hub.repos[key].at(revision) if key in self.hub.repos else None
        if found is None:
            self.missing("RevisionNotFound" if key in self.hub.repos else "RepoNotFound")
        return found

    def info(self, key: str, revision: str) -> None:
        if found := self.find(key, revision):
            siblings = [{"rfilename": path} for path in found[1]]
            name = key.partition("/")[2]
            self.reply(
                {"id": name, "modelId": name, "sha": found[0], "siblings": siblings, "tags": [], "private": False}
            )

    def tree(self, key: str, revision: str, folder: str | None) -> None:
        if found := self.find(key, revision):
            if folder and not any(path.startswith(f"{folder}/") for path in found[1]):
                self.missing()
                return
            entries = [
                {"type": "file", "path": path, "size": len(data), "oid": blob_id(data)}
                for path, data in found[1].items()
                if path.startswith(f"{folder}/" if folder else "")
            ]
            self.reply(json.dumps(entries).encode())

    def resolve(self, key: str, revision: str, path: str) -> None:
        found = self.find(key, revision)
        if found is None:
            return
        if path not in found[1]:
            self.missing()
            return
        content = found[1][path]
        headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": found[0]}
        self.reply(content, 200, headers)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serve_hub() -> Iterator[Hub]:
    """Serves an empty Hub until the block ends."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("HubHandler", (Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
