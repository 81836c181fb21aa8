"""Whether the student's towers can be run one by one."""

from lightning_fabric.wrappers import _FabricModule  # pyright: ignore[reportPrivateUsage]

from medistill.model.dual import DualEncoder


def separable(student: _FabricModule) -> DualEncoder | None:
    """The student, if its towers can be asked one by one; None for a module that has a joint forward only."""
    return student.module if isinstance(student.module, DualEncoder) else None
