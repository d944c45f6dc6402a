"""`python -m benchmarks` says where a command has gone, and runs it there; one release more."""

import runpy
import sys

import measurements.commands
import reproduction.commands

PACKAGES = {
    command.name: package
    for package, commands in (
        ("reproduction", reproduction.commands.COMMANDS),
        ("measurements", measurements.commands.COMMANDS),
    )
    for command in commands
}
"""Command → the package that has it now."""


def main() -> None:
    """Runs the command under its new name."""
    command, *words = sys.argv[1:] or [""]
    package = PACKAGES.get(command)
    if package is None:
        both = "`python -m reproduction --help` and `python -m measurements --help` list all commands"
        message = f"`python -m benchmarks` has become two packages: {both}"
        if command in ("-h", "--help"):
            sys.stdout.write(f"{message}\n")
            return
        raise SystemExit(message + (f"; got {command!r}" if command else ""))
    sys.stderr.write(f"this command is now `python -m {' '.join([package, command, *words])}`\n")
    runpy.run_module(package, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
