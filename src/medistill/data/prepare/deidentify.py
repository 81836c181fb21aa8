"""Ids, dates and ages of a hospital's export made harder to trace; an aid, no guarantee."""

import datetime
import hmac
import importlib
import os
import secrets
import stat
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from medistill.data.split import hashed_split
from medistill.data.study import NO_REPORT, Study
from medistill.errors import CallError, MedistillError

OLDEST = 89.0
"""Years. Ages above count as identifying (HIPAA Privacy Rule, 45 CFR 164.514(b)(2)(i)(C)) and become 90."""
LONGEST_SHIFT = 3650
"""Days; each patient's dates move back by 1 to as many, so that the time between two of them stays."""
_DIGITS = 16  # of an id: 64 bits, so that two of a million patients meet once in 37 million corpora


@dataclass(frozen=True, kw_only=True)
class Deidentifier:
    """What `prepare` does to each study once its patient's split is settled."""

    key: bytes
    """Secret, at least 16 bytes; whoever holds it can link the ids to the source's."""
    scrub: Callable[[str], str] | None = None
    """Takes names and the like out of a report's text."""

    def __call__(self, study: Study, *, val: float, test: float) -> Study:
        """The study under other ids. Its split still follows the source's patient id, whatever the key."""
        split = study.split or hashed_split(study.patient_id, val=val, test=test)
        return replace(
            study,
            split=split,
            study_id=self._id("study", study.study_id),
            patient_id=self._id("patient", study.patient_id),
            date=self._shifted(study.date, study.patient_id),
            age=study.age if study.age is None or study.age <= OLDEST else OLDEST + 1,
            text=self._scrubbed(study.text),
            findings=study.findings and self._scrubbed(study.findings),
            impression=study.impression and self._scrubbed(study.impression),
        )

    @property
    def fingerprint(self) -> str:
        """Tells keys apart without telling the key."""
        return self._id("key", "")

    def path_id(self, path: str) -> str:
        """The name of a rejected file: without the key nobody can tell which path or number it stands for."""
        return self._id("path", path)

    def _id(self, kind: str, name: str) -> str:
        return hmac.digest(self.key, _bytes(f"{kind}:{name}"), "sha256").hex()[:_DIGITS]

    def _shifted(self, date: datetime.date | None, patient: str) -> datetime.date | None:
        days = 1 + int(self._id("date", patient), 16) % LONGEST_SHIFT
        if date is None or date.toordinal() <= days:  # the latter is no examination's
            return None
        return date - datetime.timedelta(days=days)

    def _scrubbed(self, text: str) -> str:
        if not self.scrub or text == NO_REPORT:
            return text
        try:
            return self.scrub(text)
        except Exception as error:
            raise MedistillError(f"the --scrub function failed with {type(error).__name__}") from None


def _bytes(name: str) -> bytes:
    """As the source has them, even those of a name that is no Unicode."""
    try:
        return name.encode(errors="surrogateescape")
    except UnicodeEncodeError:  # half a surrogate, out of JSON
        return name.encode(errors="surrogatepass")


def read_key(path: Path, out: Path) -> bytes:
    """The secret in a file, made anew where there is none; CallError if others may read it."""
    if out.absolute() in path.absolute().parents:
        raise CallError(f"the key {path} would lie in the corpus, which is passed on: name a place elsewhere")
    try:
        if not path.exists():
            with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
                file.write(secrets.token_hex(32) + "\n")
        mode, key = path.stat().st_mode, path.read_bytes().strip()
    except OSError as error:
        raise CallError(f"the key {path} cannot be read or made: {error.strerror}") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise CallError(
            f"the key {path} is open to other users (mode {stat.S_IMODE(mode):o}): `chmod 600` it, and "
            "take another if any of them may have read it"
        )
    if len(key) < 16:
        raise CallError(f"the key in {path} has {len(key)} bytes; at least 16 are needed")
    return key


def scrub_function(name: str) -> Callable[[str], str]:
    """The function called `module:function`, of a module that Python can import."""
    module, _, function = name.partition(":")
    try:
        return cast(Callable[[str], str], getattr(importlib.import_module(module), function))
    except (ImportError, AttributeError, ValueError):
        raise CallError(
            f"no function {name}: give module:function, the module's folder on PYTHONPATH"
        ) from None
