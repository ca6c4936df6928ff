"""How a command ends: with the status of its work, or with one line that says what went wrong."""

import os
import signal
import sys
from collections.abc import Callable
from typing import Never

from dvc.exceptions import DvcException
from dvc.scm import SCMError

from commands.revisions import NO_REPOSITORY
from transfer.runtime.command import print_any_letter
from transfer.runtime.errors import PipelineError


def exit_with(work: Callable[[], int]) -> Never:
    """Exit with what `work` returns; with 1 and one line if it raises an error of ours, of DVC's or of a file's; of
    Ctrl-C with 130.
    """
    print_any_letter()
    try:
        status = work()
        sys.stdout.flush()
        sys.exit(status)
    except BrokenPipeError:  # `| head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    except KeyboardInterrupt:
        print("error: stopped", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
    except (PipelineError, DvcException) as error:
        message = " ".join(str(error).split())
        if isinstance(error, SCMError):  # DVC's own gives no way out
            message = message.replace("is not a git repository", f"is {NO_REPOSITORY}")
        sys.exit(f"error: {message}")
    except OSError as error:
        sys.exit(f"error: {error.filename or 'file'}: {error.strerror or error}")
