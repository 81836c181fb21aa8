"""Passes of the student by one tower alone."""

from jaxtyping import Float
from lightning_fabric import Fabric
from lightning_fabric.wrappers import _FabricModule  # pyright: ignore[reportPrivateUsage]
from torch import Tensor

from medistill.data.loader.windows import Window
from medistill.engine.batching import Tower
from medistill.model.dual import DualEncoder


def separable(student: _FabricModule) -> DualEncoder | None:
    """The student, if its towers can be asked one by one; None for a module that has a joint forward only."""
    return student.module if isinstance(student.module, DualEncoder) else None


def embedded(fabric: Fabric, student: DualEncoder, tower: Tower, part: Window) -> Float[Tensor, "b d"]:
    """Unit rows of one modality.

    Past Fabric's and DDP's wrapper, whose reducer wants every weight in every pass: autocast is ours to
    enter, and the ranks' gradients ours to average.
    """
    with fabric.autocast():
        if tower == "image":
            return student.embed_images(part.images)
        return student.embed_tokens(part.tokens, part.mask, part.lower)
