"""Runs the command, `siptrunk-exporter` and `python -m exporter` alike."""

import gc
import sys


def main() -> int:
    """Run the command that the process was asked for; give the exit status."""
    # What is loaded stays: looking through it for garbage would be a tenth of the start.
    gc.disable()
    from exporter.cli import main as run  # noqa: PLC0415 - see above

    gc.enable()
    return run()


if __name__ == "__main__":
    sys.exit(main())
