"""Where pretrained weights lie: in a folder, on the hub, or where timm knows them to be."""

from pathlib import Path

from medistill.errors import CallError


def pretrained_source(name: str) -> tuple[str, bool]:
    """(path or hub name, whether it is a local folder); CallError for a path that is not there."""
    if Path(name).expanduser().is_dir():
        return str(Path(name).expanduser()), True
    if name.startswith((".", "/", "~")):
        raise CallError(
            f"no folder {name!r} with pretrained weights; give a folder or a hub name (owner/model)"
        )
    return name, False
