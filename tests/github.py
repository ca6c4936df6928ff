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
    """People with their permissions, pull requests, and the comments of each, the oldest first."""

    def __init__(self) -> None:
        self.permissions: dict[str, str] = {}
        self.pulls: dict[int, dict[str, Any]] = {}
        self.comments: dict[int, list[dict[str, Any]]] = {}
        self.url = ""

    def environment(self, token: str) -> dict[str, str]:
        """What a step of a workflow gets from its runner."""
        return {"GITHUB_API_URL": self.url, "GITHUB_REPOSITORY": REPOSITORY, "GITHUB_TOKEN": token}

    def add_pull(self, number: int, branch: str, commit: str, base: str, repository: str = REPOSITORY) -> None:
        head = {"ref": branch, "sha": commit, "repo": {"full_name": repository}}
        self.pulls[number] = {"number": number, "head": head, "base": {"ref": base}}

    def add_comment(self, number: int, body: str, person: str = "Bot") -> dict[str, Any]:
        name = 1 + sum(len(comments) for comments in self.comments.values())
        url = f"https://github.example/{REPOSITORY}/pull/{number}#issuecomment-{name}"
        comment = {"id": name, "body": body, "user": {"type": person}, "html_url": url}
        self.comments.setdefault(number, []).append(comment)
        return comment

    def answer(self, method: str, path: str, token: str, content: dict[str, Any]) -> tuple[int, Any]:
        place, _, query = path.removeprefix(f"/repos/{REPOSITORY}/").partition("?")
        if method != "GET" and token != MAY_WRITE:
            return 403, {"message": "Resource not accessible by integration"}
        if found := re.fullmatch(r"collaborators/(\w+)/permission", place):
            return 200, {"permission": self.permissions.get(found[1], "read")}
        if found := re.fullmatch(r"pulls/(\d+)", place):
            return 200, self.pulls[int(found[1])]
        if found := re.fullmatch(r"issues/(\d+)/comments", place):
            if method == "POST":
                return 201, self.add_comment(int(found[1]), content["body"])
            wanted = dict(part.split("=") for part in query.split("&"))
            each, page = int(wanted["per_page"]), int(wanted["page"])
            return 200, self.comments.get(int(found[1]), [])[each * (page - 1) : each * page]
        if method == "PATCH" and (found := re.fullmatch(r"issues/comments/(\d+)", place)):
            (known,) = [one for all_ in self.comments.values() for one in all_ if one["id"] == int(found[1])]
            known["body"] = content["body"]
            return 200, known
        return 404, {"message": "Not Found"}


@contextmanager
def serve() -> Iterator[GitHub]:
    github = GitHub()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            content = json.loads(self.rfile.read(length) or "{}")
            token = self.headers.get("Authorization", "").removeprefix("Bearer ")
            status, answer = github.answer(self.command, self.path, token, content)
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PATCH = answer  # noqa: N815

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
