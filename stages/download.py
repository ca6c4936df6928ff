"""Fetch the image archive, check it and write it as one canonical file.

The output depends on images, labels and class names alone, whichever archive brought them.
"""

from argparse import Namespace

from pydantic import Field

from transfer.runtime.command import run
from transfer.runtime.errors import ArchiveError, DownloadError
from transfer.runtime.files import sha256_of, write_json
from transfer.runtime.parameters import Group
from transfer.sources.cifar import read_archive, save_images
from transfer.sources.fetch import fetch


class Download(Group):
    url: str = Field(min_length=1)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    timeout_s: float = Field(gt=0)


class Parameters(Group):
    download: Download


def main(parameters: Parameters, files: Namespace) -> None:
    wanted = parameters.download
    local = fetch(wanted.url, files.state / "download", wanted.timeout_s)
    actual = sha256_of(local)
    unexpected = f"{wanted.url}: SHA-256 is {actual}, download.sha256 is {wanted.sha256}"
    fetched = local.is_relative_to(files.state)
    try:
        archive = read_archive(local)
    except ArchiveError as error:
        if fetched:  # or the next try would find the wrong file complete
            local.unlink()
        if actual == wanted.sha256:
            raise
        raise DownloadError(f"{unexpected}, and it is not CIFAR-10: {error}") from None
    if actual != wanted.sha256 and not archive.official:
        if fetched:
            local.unlink()
        raise DownloadError(f"{unexpected}, and its images are not CIFAR-10's; if they are yours, set that digest")
    save_images(files.images, archive)
    write_json(
        files.metrics,
        {
            "official_pixels": archive.official,
            "train_images": len(archive.train.labels),
            "test_images": len(archive.test.labels),
            "classes": len(archive.classes),
        },
    )


if __name__ == "__main__":
    run(main, Parameters, outputs=["images", "metrics"])
