"""Models from a hub: the few files that are needed, resumable, and errors that say what to do."""

from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path

from fettle.errors import InvalidInput, NotFound, StorageFailed, Unavailable, UnsupportedModel
from fettle.registry.base_models import UNKNOWN_LICENCE, read_config

# Weights are safetensors or nothing: pickled files can run code. `model*` leaves out second copies in other layouts.
WANTED = (
    "model*.safetensors",
    "*.json",
    "tokenizer*",
    "*.model",
    "*.jinja",
    "*.txt",
    "README.md",
    "LICENSE*",
    "NOTICE*",
)


def wanted(names: list[str]) -> list[str]:
    """Which of a model's files are needed; not those in folders, which hold other forms of the model."""
    return [name for name in names if "/" not in name and any(fnmatch(name, pattern) for pattern in WANTED)]


def download(name: str, folder: Path) -> str:
    """Bring the hub's model `name` into `folder`; the licence that the hub names.

    What an interrupted download left in `folder` is not fetched again.

    Raises:
        NotFound: the hub has no such model.
        UnsupportedModel: it has no safetensors, or Fettle does not know the family.
        InvalidInput: it is only given to those who accepted its terms.
        Unavailable: the hub cannot be reached.
        StorageFailed: the disk is full.
    """
    from huggingface_hub import HfApi

    with _told(name):
        info = HfApi().model_info(name)
        names = wanted([sibling.rfilename for sibling in info.siblings or []])
        if not any(one.endswith(".safetensors") for one in names):
            raise UnsupportedModel(
                f"{name} has no safetensors files",
                hint="Look for a version of it that has; pickled weights are refused.",
            )
        # config.json before the weights: it tells whether they are of any use.
        for one in sorted(names, key=lambda one: (one != "config.json", one)):
            _bring(name, one, str(info.sha), folder)
            if one == "config.json":
                read_config(folder)
    licence = info.card_data.get("license") if info.card_data else None
    return str(licence or UNKNOWN_LICENCE)


def _bring(name: str, file: str, revision: str, folder: Path) -> None:
    """One file of a model, unless it is there."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.utils import build_hf_headers

    # Not above: it brings a library for HTTP, which every command would wait for.
    from fettle.services.download import RemoteFile, fetch

    if (folder / file).exists():
        return
    url, headers = hf_hub_url(name, file, revision=revision), build_hf_headers()
    about = get_hf_file_metadata(url, headers=headers)
    fetch(RemoteFile(url, about.size or 0, about.etag or revision), folder / file, headers)


@contextmanager
def _told(name: str) -> Iterator[None]:
    import httpx
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError as error:
        hint = "Accept its terms on its page on the hub, and set HF_TOKEN to a token of yours."
        raise InvalidInput(f"{name} is only given to those who accepted its terms", hint=hint, param="name") from error
    except (errors.RepositoryNotFoundError, errors.HFValidationError) as error:
        hint = "Check the name (org/model). For a private model set HF_TOKEN; for a folder give its path."
        raise NotFound(f"there is no folder {name!r}, and no model of that name on the hub", hint=hint) from error
    except (errors.OfflineModeIsEnabled, errors.LocalEntryNotFoundError) as error:
        raise _unreachable(error) from error
    except errors.HfHubHTTPError as error:
        hint = "Run the command again later: it goes on where it stopped."
        raise Unavailable(f"the hub could not give {name}: {_first_line(error)}", hint=hint) from error
    except (errors.HTTPError, httpx.HTTPError) as error:  # the hub's library has an HTTP library of its own
        raise _unreachable(error) from error
    except OSError as error:
        hint = "Free some space and run the command again: it goes on where it stopped."
        raise StorageFailed(f"{name} cannot be stored: {error.strerror or error}", hint=hint) from error


def _unreachable(error: Exception) -> Unavailable:
    hint = "Check the connection and HF_ENDPOINT, and run the command again: it goes on where it stopped."
    return Unavailable(f"the hub cannot be reached: {_first_line(error)}", hint=hint)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
