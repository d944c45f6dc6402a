"""`python -m benchmarks.walkthrough` is now `python -m measurements walkthrough`."""

import runpy
import sys

if __name__ == "__main__":
    sys.stderr.write(f"this command is now `python -m measurements walkthrough {' '.join(sys.argv[1:])}`\n")
    sys.argv.insert(1, "walkthrough")
    runpy.run_module("measurements", run_name="__main__", alter_sys=True)
