"""Write a report into a pull request on GitHub, over the one of before: `python -m commands.comment NUMBER FILE`.

The address, the repository and the token come from GITHUB_API_URL, GITHUB_REPOSITORY and GITHUB_TOKEN. A token that
may not write, such as that of a fork's pull request, is no failure: one line says so.
"""

import argparse
import json
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

MARK = "<!-- report of the pipeline -->"
LONGEST = 65_000  # GitHub takes 65,536 characters
PER_PAGE = 100
TIMEOUT_S = 30


def ask(method: str, path: str, content: dict[str, Any] | None = None) -> Any:
    """Send one request to GitHub's REST interface and return its answer."""
    request = urllib.request.Request(
        f"{os.environ['GITHUB_API_URL']}/repos/{os.environ['GITHUB_REPOSITORY']}/{path}",
        method=method,
        data=None if content is None else json.dumps(content).encode(),
        headers={
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {os.environ['GITHUB_TOKEN']}",
            "Content-Type": "application/json",
        },
    )
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
        return json.load(answer)


def earlier(number: int) -> int | None:
    """The comment that this command wrote into the pull request before, or None."""
    page = 1
    while True:
        comments = ask("GET", f"issues/{number}/comments?per_page={PER_PAGE}&page={page}")
        for comment in comments:  # a person who quotes the mark keeps the comment
            if comment["body"].startswith(MARK) and comment["user"]["type"] == "Bot":
                return comment["id"]
        if len(comments) < PER_PAGE:
            return None
        page += 1


def body_of(report: str) -> str:
    """The comment: marked, and cut at the end of a line where GitHub would refuse it."""
    if len(report) > LONGEST:
        report = report[: report.rfind("\n", 0, LONGEST)] + "\n\nCut here; the summary of the workflow has all of it."
    return f"{MARK}\n{report}"


def main(number: int, report: Path) -> int:
    content = {"body": body_of(report.read_text(encoding="utf-8"))}
    try:
        if (known := earlier(number)) is not None:
            done = ask("PATCH", f"issues/comments/{known}", content)
        else:
            done = ask("POST", f"issues/{number}/comments", content)
    except (OSError, ValueError) as error:
        print(f"::notice::no comment: {' '.join(str(error).split())}; the summary of this run has the report")
    else:
        print(done["html_url"])
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m commands.comment", description=__doc__)
    parser.add_argument("number", type=int, help="number of the pull request")
    parser.add_argument("report", type=Path, help="Markdown file")
    arguments = parser.parse_args()
    sys.exit(main(arguments.number, arguments.report))
