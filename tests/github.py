"""A server on the loopback that answers as GitHub's REST interface does where this repository asks it."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

REPOSITORY = "owner/repository"
MAY_WRITE, READS_ONLY = "token-that-may-write", "token-that-reads"


class GitHub:
    """People with their permissions, and pull requests."""

    def __init__(self) -> None:
        self.permissions: dict[str, str] = {}
        self.pulls: dict[int, dict[str, Any]] = {}
        self.url = ""

    def environment(self, token: str) -> dict[str, str]:
        """What a step of a workflow gets from its runner."""
        return {"GITHUB_API_URL": self.url, "GITHUB_REPOSITORY": REPOSITORY, "GITHUB_TOKEN": token}

    def add_pull(self, number: int, branch: str, commit: str, base: str, repository: str = REPOSITORY) -> None:
        head = {"ref": branch, "sha": commit, "repo": {"full_name": repository}}
        self.pulls[number] = {"number": number, "head": head, "base": {"ref": base}}

    def answer(self, path: str) -> tuple[int, Any]:
        name = path.removeprefix(f"/repos/{REPOSITORY}/")
        if found := re.fullmatch(r"collaborators/(\w+)/permission", name):
            return 200, {"permission": self.permissions.get(found[1], "read")}
        if found := re.fullmatch(r"pulls/(\d+)", name):
            return 200, self.pulls[int(found[1])]
        return 404, {"message": "Not Found"}


@contextmanager
def serve() -> Iterator[GitHub]:
    github = GitHub()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, answer = github.answer(self.path)
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        github.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield github
        finally:
            server.shutdown()
            thread.join()
