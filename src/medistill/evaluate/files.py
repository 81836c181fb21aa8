"""An evaluation on disk: metrics.json, evaluation.json, page.html."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medistill.evaluate.statistics.interval import Metrics
from medistill.system.checksums import write_all_checked
from medistill.system.json_files import canonical_json, read_json
from medistill.system.private import private_files

METRICS, ACCOUNT, PAGE = "metrics.json", "evaluation.json", "page.html"
COMPARISON, COMPARISON_PAGE = "comparison.json", "comparison.html"


@private_files()
def write_files(out: Path, metrics: Mapping[str, Metrics], account: Mapping[str, Any], html: str) -> None:
    """The figures, how they came about, and their page: none is replaced unless all could be written."""
    contents = {METRICS: canonical_json(metrics), ACCOUNT: canonical_json(account)}
    write_all_checked(out, contents, {PAGE: html})


def read_metrics(out: Path) -> Mapping[str, Metrics]:
    """The figures that `write_evaluation` left in `out`."""
    return read_json(out / METRICS)


def read_comparison(out: Path) -> Mapping[str, Any]:
    """What `write_comparison` left in `out`."""
    return read_json(out / COMPARISON)


def read_headlines(out: Path) -> Mapping[str, str]:
    """The figure to quote of each named protocol scored there."""
    protocols = read_json(out / ACCOUNT).get("protocols", {})
    return {name: account["headline"] for name, account in protocols.items()}
