"""A server on this machine that speaks the Hugging Face hub's API for one data set, as its client asks."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def hub(name: str, files: Mapping[str, bytes], token: str | None = None) -> Iterator[str]:
    """Serve the files of the data set `name` (OWNER/NAME), to those with the `token` if there is one."""
    handler = type("HubHandler", (_Handler,), {"name": name, "files": files, "token": token})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    name: str
    files: Mapping[str, bytes]
    token: str | None

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name it has in the base class)
        pass

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        api, resolved = f"/api/datasets/{self.name}", f"/datasets/{self.name}/resolve/"
        if not self._is_open(path):
            return
        if path in (api, f"{api}/revision/main"):
            self._answer({"id": self.name, "sha": COMMIT, "private": False, "siblings": [], "tags": []})
        elif path.startswith(f"{api}/tree/"):
            folder = path.removeprefix(f"{api}/tree/").partition("/")[2]
            start = f"{folder}/" if folder else ""
            below = [one for one in (*self.files, *self._folders()) if one.startswith(start)]
            if "recursive=true" not in self.path.lower():
                below = [one for one in below if "/" not in one.removeprefix(start)]
            self._answer([self._entry(one) for one in below]) if below else self._refuse(404, "EntryNotFound")
        elif path.startswith(resolved) and (file := path.removeprefix(resolved).partition("/")[2]) in self.files:
            self._send(self.files[file], "application/octet-stream")
        else:
            self._refuse(404, "EntryNotFound" if self.name in path else "RepoNotFound")

    do_HEAD = do_GET  # noqa: N815 (the name that the base class looks for)

    def do_POST(self) -> None:  # paths-info: what lies at some paths
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["paths"]
        if self._is_open(self.path):
            there = {*self.files, *self._folders()}
            self._answer([self._entry(path) for path in asked if path in there])

    def _is_open(self, path: str) -> bool:
        if self.token and self.headers.get("Authorization") != f"Bearer {self.token}":
            self._refuse(401, "RepoNotFound" if self.name in path else "")
            return False
        return True

    def _folders(self) -> set[str]:
        return {name.rsplit("/", depth)[0] for name in self.files for depth in range(1, name.count("/") + 1)}

    def _entry(self, path: str) -> dict[str, Any]:
        if path not in self.files:
            return {"type": "directory", "path": path, "oid": COMMIT}
        return {"type": "file", "path": path, "size": len(self.files[path]), "oid": COMMIT}

    def _refuse(self, status: int, code: str) -> None:
        self._send(b'{"error": "no"}', "application/json", status, {"X-Error-Code": code} if code else {})

    def _answer(self, content: Any) -> None:
        self._send(json.dumps(content).encode(), "application/json")

    def _send(self, body: bytes, kind: str, status: int = 200, more: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        headers = {"Content-Type": kind, "Content-Length": str(len(body)), "ETag": f'"{COMMIT}"', **(more or {})}
        for name, value in {**headers, "X-Repo-Commit": COMMIT, "Last-Modified": formatdate(0, usegmt=True)}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
