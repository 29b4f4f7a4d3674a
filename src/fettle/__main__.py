"""`python -m fettle` is the `fettle` command."""

from fettle.cli.main import run

if __name__ == "__main__":
    run()
