"""From a source to a corpus."""

from medistill.data.prepare.run import prepare, results, studies
from medistill.system.isolated import cores

__all__ = ["cores", "prepare", "results", "studies"]
