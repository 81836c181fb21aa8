"""What to look for, and where the classifier for it comes from."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medistill.errors import CallError
from medistill.evaluate.prompts.file import read_prompts
from medistill.evaluate.prompts.own import asked
from medistill.evaluate.prompts.prompts import Prompts, check_name, checked
from medistill.model.embedder import UnitEmbedder
from medistill.serve.label.classifier import Classifier, checked_finding, read_classifier
from medistill.serve.label.from_prompts import FromPrompts
from medistill.serve.label.from_shots import FromShots, Read
from medistill.serve.label.images import CorpusImages, FolderImages
from medistill.serve.label.shots import read_shots
from medistill.system.progress import Progress


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What to look for, and what to tell it by. Findings narrow down what the file or folder knows."""

    findings: tuple[str, ...] = ()
    prompts: Path | None = None
    shots: Path | None = None
    classifier: Path | None = None
    calibrate: Path | None = None

    def __post_init__(self) -> None:
        given = [name for name in ("prompts", "shots", "classifier") if getattr(self, name)]
        if len(given) > 1:
            raise CallError(
                f"--{given[0]} and --{given[1]} cannot go together: findings come from one of them"
            )
        if not given and not self.findings:
            raise CallError("nothing to look for: give --findings, --prompts, --shots or --classifier")
        if self.calibrate and given and given[0] != "prompts":
            raise CallError(f"--calibrate goes with --findings or --prompts, not with --{given[0]}")
        for finding in self.findings:
            check_name(finding)
        twice = [name for name, count in Counter(self.findings).items() if count > 1]
        if twice:
            raise CallError(f"--findings names '{twice[0]}' twice")


@dataclass(frozen=True)
class FromFolder:
    """A saved classifier."""

    classifier: Classifier

    def described(self) -> dict[str, Any]:
        saved = self.classifier
        return {"kind": "classifier", "sha256": saved.sha256, "made_with": saved.made_with}

    def make(self, model: UnitEmbedder, about: dict[str, Any], on_progress: Progress | None) -> Classifier:
        """The same; CallError if it reads another model's embeddings."""
        its_own = self.classifier.model
        if about["sha256"] is None or dict(its_own) != about:
            raise CallError(
                f"the classifier is of another model (sha256 {str(its_own.get('sha256'))[:12]}..., this one "
                f"has {str(about['sha256'])[:12]}...): label with that model, or fit it anew with --shots"
            )
        return self.classifier


Maker = FromPrompts | FromShots | FromFolder
"""Where a classifier comes from: says what that depends on beside the model, and makes it for a model."""


def maker_of(
    wanted: Wanted, images: CorpusImages | FolderImages, read: Read, own: Prompts | None = None
) -> Maker:
    """Where the classifier comes from; CallError if files or findings named are not there.

    own   what the model was left with to be asked, for findings without a file of prompts
    """
    if wanted.classifier:
        saved = read_classifier(wanted.classifier)
        return FromFolder(saved.chosen(wanted.findings) if wanted.findings else saved)
    if wanted.shots:
        return FromShots(shots=read_shots(wanted.shots, wanted.findings), images=images, read=read)
    return FromPrompts(prompts=_prompts(wanted, own), calibrate=wanted.calibrate)


def _prompts(wanted: Wanted, own: Prompts | None) -> Prompts:
    """Those of the file, all or the findings named; without a file the model's own, or plain sentences."""
    if not wanted.prompts:
        return {finding: asked(finding, own) for finding in wanted.findings}
    given = checked(read_prompts(wanted.prompts))  # a score is a difference: both sides are needed
    if not given:
        raise CallError(f"{wanted.prompts} holds no prompts")
    return {finding: given[checked_finding(finding, list(given))] for finding in wanted.findings or given}
