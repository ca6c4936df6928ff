"""What every test finds."""

import signal

# A job in the background is deaf to Ctrl-C, and so would be each process that a test starts and then interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)
