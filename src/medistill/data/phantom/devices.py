"""Metal and plastic: pacemaker, tubes, lines, and the side marker."""

from collections.abc import Sequence

import numpy as np

from medistill.data.phantom.anatomy import Anatomy, Grid, Plane
from medistill.data.phantom.findings import Finding

LETTERS: dict[str, list[list[tuple[float, float]]]] = {
    "L": [[(-0.5, -1.0), (-0.5, 1.0), (0.6, 1.0)]],
    "R": [
        [(-0.5, 1.0), (-0.5, -1.0), (0.3, -1.0), (0.6, -0.55), (0.3, -0.05), (-0.5, -0.05)],
        [(0.0, -0.05), (0.6, 1.0)],
    ],
}


def pacemaker(anatomy: Anatomy, grid: Grid, finding: Finding) -> Plane:
    """A generator below one clavicle and one or two leads to the heart."""
    a, b, c, _ = finding.shape
    u, v = finding.side * (0.44 + 0.22 * a), anatomy.clavicle + 0.12 + 0.14 * b
    half = 0.085 + 0.02 * finding.severity
    du, dv = np.abs(grid.u - u), np.abs(grid.v - v)
    case = grid.edge(half - np.maximum(np.maximum(du, dv * 1.15), 0.75 * (du + dv)), 0.01)
    vein = [(u, v - 0.02), (finding.side * 0.3, anatomy.clavicle + 0.02), (-0.09, -0.38), (-0.13, 0.0)]
    tip = (0.1 + 0.2 * anatomy.heart * (0.7 + 0.3 * c), anatomy.heart_low + 0.17 * anatomy.heart)
    leads = grid.curve([*vein, (-0.08, anatomy.heart_low + 0.12), tip], 0.02)
    if finding.severity > 0.4:
        leads = np.maximum(leads, grid.curve([*vein[2:], (-0.19, 0.14), (-0.1, 0.02)], 0.02))
    return np.maximum(case, 0.8 * leads)


def endotracheal_tube(grid: Grid, finding: Finding, turn: float) -> Plane:
    """A tube down the trachea; severity 0..1 is how deep its tip lies."""
    tip, lean = tube_tip(finding), 0.03 * (finding.shape[0] - 0.5)
    return grid.stroke([(turn / 2 + lean - 0.01, -1.1), (turn / 2 + lean, -0.75), (turn / 2, tip)], 0.05)


def tube_tip(finding: Finding) -> float:
    return -0.5 + 0.18 * finding.severity


def central_line(grid: Grid, side: int, drop: float) -> Plane:
    """A catheter through the neck into the superior vena cava; not a finding, but to be told from one."""
    return grid.curve(
        [(side * 0.22, -1.0), (side * 0.16, -0.6), (-0.08, -0.42), (-0.11, -0.2 + 0.25 * drop)], 0.014
    )


def feeding_tube(grid: Grid, bow: float) -> Plane:
    return grid.curve(
        [(0.02, -1.1), (0.03, -0.2), (0.05 * bow, 0.3), (0.16, 0.6), (0.36, 0.62 + 0.1 * bow)], 0.016
    )


def electrodes(grid: Grid, places: Sequence[tuple[float, float]]) -> Plane:
    """Monitor leads stuck on the skin: a small ring and a wire out of the film."""
    drawn = np.zeros_like(grid.u)
    for u, v in places:
        wire = grid.curve([(u, v), (u * 1.35, v - 0.3), (u * 1.1, -0.8), (u * 1.3 + 0.1, -1.2)], 0.009)
        drawn = np.maximum(drawn, np.maximum(grid.disc(u, v, 0.026), 0.8 * wire))
    return drawn


def side_marker(grid: Grid, letter: str, u: float, v: float, height: float) -> Plane:
    """The lead letter on the film, `R` on the patient's right and `L` on the left."""
    drawn = np.zeros_like(grid.u)
    for stroke in LETTERS[letter]:
        points = [(u + 0.45 * height * a, v + 0.5 * height * b) for a, b in stroke]
        drawn = np.maximum(drawn, grid.stroke(points, 0.22 * height))
    return drawn
