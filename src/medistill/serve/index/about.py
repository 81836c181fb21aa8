"""What an embedding table or an index is of: a model, and corpora."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from medistill.errors import CallError
from medistill.serve.index.places import located, portable


@dataclass(frozen=True, kw_only=True)
class Origin:
    """A corpus whose images were embedded."""

    path: str
    """Absolute, where it lay then as seen from the table or index."""
    sha256: str
    findings: tuple[str, ...]
    phantoms: bool


@dataclass(frozen=True, kw_only=True)
class About:
    """The model that made the vectors, and the corpora they are of."""

    model: str
    """As `open_model` takes it; folders absolute."""
    model_sha256: str
    preprocessing: Mapping[str, Any] | None
    scale: float | None
    """What the model multiplies cosines by."""
    dim: int
    corpora: tuple[Origin, ...] = ()

    @property
    def findings(self) -> tuple[str, ...]:
        """Of all corpora, in order of first appearance."""
        return tuple(dict.fromkeys(name for corpus in self.corpora for name in corpus.findings))

    @property
    def phantoms(self) -> bool:
        """Whether nothing but phantoms was added."""
        return bool(self.corpora) and all(corpus.phantoms for corpus in self.corpora)

    def check_model(self, sha256: str | None, preprocessing: Mapping[str, Any] | None, what: str) -> None:
        """CallError unless vectors of that model lie in the same space; `what` names where they come from."""
        if sha256 != self.model_sha256:
            raise CallError(
                f"{what} is of another model (sha256 {str(sha256)[:12]}..., the index has "
                f"{self.model_sha256[:12]}...): use that model, or build another index"
            )
        if preprocessing != self.preprocessing:
            raise CallError(
                f"{what} is of the index's model with other preprocessing: images would not land in the same "
                "space; use the same model folder, or build another index"
            )

    def with_corpora(self, corpora: tuple[Origin, ...]) -> "About":
        """The same of these corpora as well; one that is known by its hash takes the newer path."""
        known = {corpus.sha256: corpus for corpus in (*self.corpora, *corpora)}
        return replace(self, corpora=tuple(known.values()))

    def as_json(self, home: Path | None = None) -> dict[str, Any]:
        """What a file in `home`, or where the work is done, says; no path of this machine in it."""
        home = home or Path.cwd()
        fields = asdict(self)
        for origin in fields["corpora"]:
            origin["path"] = portable(origin["path"], home)
        return {**fields, "model": portable(self.model, home)}


def about_from_json(fields: dict[str, Any], home: Path | None = None) -> About:
    """KeyError, TypeError or ValueError if it is not what `as_json` gave.

    Paths are absolute again; those of files written before they were told from `home` are so already.
    """
    home = home or Path.cwd()
    origins: list[dict[str, Any]] = [
        {**origin, "findings": tuple(origin["findings"]), "path": located(origin["path"], home)}
        for origin in fields["corpora"]
    ]
    fields = {**fields, "corpora": tuple(Origin(**origin) for origin in origins)}
    fields["model"] = located(fields["model"], home)
    if not isinstance(fields["dim"], int) or fields["dim"] < 1 or not isinstance(fields["model_sha256"], str):
        raise ValueError("no width or no hash")
    return About(**fields)
