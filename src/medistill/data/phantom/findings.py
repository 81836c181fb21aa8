"""The findings a phantom can have: place, size, and what they do to anatomy."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from medistill.data.phantom.anatomy import Anatomy, Pose

FINDINGS: tuple[str, ...] = (
    "cardiomegaly",
    "left effusion",
    "right effusion",
    "left pneumothorax",
    "right pneumothorax",
    "left consolidation",
    "right consolidation",
    "nodule",
    "mass",
    "edema",
    "atelectasis",
    "emphysema",
    "fracture",
    "pacemaker",
    "endotracheal tube",
)
SIDED = ("nodule", "mass", "atelectasis", "fracture")
MM_PER_UNIT = 190.0


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One finding of one study, in terms of the patient's own anatomy."""

    name: str
    side: int
    """+1 the patient's left, which is the right of the image; -1 right; 0 neither."""
    severity: float
    """0..1 from just visible to extreme."""
    across: float
    """0..1 from mediastinum to chest wall."""
    along: float
    """0..1 from apex to diaphragm."""
    depth: float
    """0..1 from sternum to spine, seen on a lateral view."""
    shape: tuple[float, ...]
    """Four numbers in 0..1 that give it its own look."""

    @property
    def zone(self) -> str:
        return "upper" if self.along < 0.38 else "mid" if self.along < 0.68 else "lower"

    @property
    def radius(self) -> float:
        if self.name == "nodule":
            return 0.058 + 0.02 * self.severity
        return 0.12 + 0.08 * self.severity

    @property
    def millimeters(self) -> int:
        return round(2 * self.radius * MM_PER_UNIT)


def random_finding(name: str, random: np.random.Generator) -> Finding:
    chance, severity, across, along, depth, *shape = random.random(9).tolist()
    side = 1 if name.startswith("left") else -1 if name.startswith("right") else 0
    if name in SIDED:
        side = 1 if chance < 0.5 else -1
    if name == "pacemaker":
        side = 1 if chance < 0.7 else -1
    if name in ("nodule", "mass"):
        across, along = 0.25 + 0.55 * across, 0.22 + 0.64 * along
    if name.endswith("consolidation"):
        across, along = 0.3 + 0.4 * across, (0.25, 0.53, 0.82)[int(3 * along)] + 0.06 * (across - 0.5)
    if name == "fracture":
        across, along = 0.45 + 0.35 * across, 0.2 + 0.5 * along
    return Finding(
        name=name, side=side, severity=severity, across=across, along=along, depth=depth, shape=tuple(shape)
    )


def affected(anatomy: Anatomy, findings: Sequence[Finding], pose: Pose, *, portable: bool) -> Anatomy:
    """The anatomy as it stands on one film: breath, projection, findings that change shapes."""
    domes = [dome - pose.breath for dome in anatomy.domes]
    heart = anatomy.heart * (1.1 if portable else 1.0)
    arch, air, markings, rib_gap = anatomy.arch, 1.0, 1.0, anatomy.rib_gap
    for finding in findings:
        if finding.name == "cardiomegaly":
            heart *= 1.3 + 0.22 * finding.severity
        elif finding.name == "edema":
            markings *= 1.5
        elif finding.name == "atelectasis":
            domes[(finding.side + 1) // 2] -= 0.1 + 0.06 * finding.severity
        elif finding.name == "emphysema":
            domes = [dome + 0.1 + 0.05 * finding.severity for dome in domes]
            arch, air, markings = 0.3 * arch, 1.22, 0.5 * markings
            heart, rib_gap = heart * 0.86, rib_gap * 1.12
    return replace(
        anatomy,
        domes=(domes[0], domes[1]),
        heart=heart,
        arch=arch,
        air=air,
        markings=markings,
        rib_gap=rib_gap,
    )
