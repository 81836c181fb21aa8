"""Draws a lateral chest film: sternum to the image left, spine to the right."""

from collections.abc import Sequence

import numpy as np

from medistill.data.phantom.anatomy import Anatomy, Grid, Plane
from medistill.data.phantom.findings import Finding


def draw_lateral(anatomy: Anatomy, findings: Sequence[Finding], grid: Grid) -> Plane:
    """What the detector sees, about 0 to 1; findings where they would project."""
    named = {finding.name: finding for finding in findings}
    flat = "emphysema" in named
    u, v = grid.u, grid.v
    high = np.clip(-0.1 - v, 0.0, 1.0)
    deep = 0.56 * (anatomy.width / 0.75) * (1.15 if flat else 1.0)
    front = 0.06 - deep + 0.1 * (v - 0.1) ** 2 + 0.34 * high * high
    back = 0.6 - 0.1 * (v + 0.05) ** 2 - 0.42 * high**3
    cage = np.minimum(np.minimum(u - front, back - u), 0.8 * (v - anatomy.apex - 0.3 * (u - 0.1) ** 2))
    dome = 0.4 + 0.1 * flat + (0.2 if flat else 0.75) * (u + 0.05) ** 2 - 0.08 * np.clip(u, 0.0, 1.0)
    above = dome - v
    skin = np.minimum(u - front + 0.1 + 0.05 * anatomy.fat, back + 0.17 + 0.06 * anatomy.fat - u)
    skin = np.maximum(skin, np.minimum(0.75 + 0.3 * v - np.abs(u + 0.1), -0.42 - v))
    body = grid.edge(skin, 0.05) * (0.38 + 0.22 * np.clip(skin / 0.3, 0.0, 1.0))
    air = lateral_air(anatomy, grid, named, np.minimum(cage, above))
    air = air * (1 - lateral_density(grid, named, cage, above))
    bone = lateral_bone(anatomy, grid, front, back) * grid.edge(cage + 0.14, 0.04)
    belly = 0.16 * grid.edge(-above, 0.03) * grid.edge(skin, 0.05)
    return (
        body
        + belly
        - (0.42 + 0.05 * flat) * air
        + bone * (1 - 0.6 * grid.edge(-above - 0.1, 0.2))
        + hardware(grid, named)
    )


def lateral_air(anatomy: Anatomy, grid: Grid, named: dict[str, Finding], inside: Plane) -> Plane:
    """Lungs behind the sternum and behind the heart, hazier where shoulders and hila overlap."""
    heart = anatomy.heart * (1.35 if "cardiomegaly" in named else 0.88 if "emphysema" in named else 1.0)
    u, v = grid.u, grid.v
    egg = 0.29 * heart - np.hypot((u + 0.17 + 0.3 * (v - 0.2)) * 1.05, (v - 0.2) * 0.8)
    shoulders = grid.edge(-0.45 - v, 0.35)
    hila = grid.glow(0.06, -0.06, 0.1, 0.13) + 0.5 * grid.glow(-0.05, -0.28, 0.16, 0.12)
    streaks = 0.12 * np.sin(24 * u + 9 * v + 6 * anatomy.vessels[0]) * np.sin(19 * v - 8 * u)
    air = grid.edge(inside, 0.05) * (0.75 + 0.25 * np.clip(inside / 0.15, 0.0, 1.0))
    return (
        air
        * (1 - 0.75 * grid.edge(egg, 0.06))
        * (1 - 0.55 * shoulders)
        * (1 - 0.5 * np.clip(hila, 0.0, 1.0))
        * (1 - streaks)
    )


def lateral_bone(anatomy: Anatomy, grid: Grid, front: Plane, back: Plane) -> Plane:
    """Vertebrae before the back of the lungs, sternum in front, ribs falling forward between them."""
    u, v = grid.u, grid.v
    column = grid.edge(0.085 - np.abs(u - back + 0.13), 0.03)
    bodies = 0.65 + 0.35 * np.cos(2 * np.pi * (v + 0.2 * u) / anatomy.rib_gap)
    sternum = (
        grid.edge(0.03 - np.abs(u - front + 0.02), 0.02) * grid.edge(0.3 - v, 0.1) * grid.edge(v + 0.62, 0.05)
    )
    index = (v + 0.5 * u - 0.35 * u * u) / anatomy.rib_gap + anatomy.rib_phase
    rib = grid.edge(0.026 - np.abs(index - np.floor(index) - 0.5) * anatomy.rib_gap, 0.015)
    return 0.17 * column * bodies + 0.16 * sternum + 0.06 * rib


def lateral_density(grid: Grid, named: dict[str, Finding], cage: Plane, above: Plane) -> Plane:
    """How much of the air is replaced, 0..1."""
    dense = np.zeros_like(grid.u)
    for finding in named.values():
        u, v = -0.3 + 0.65 * finding.depth, -0.7 + 1.1 * finding.along
        away = np.hypot(grid.u - u, grid.v - v)
        if finding.name in ("nodule", "mass"):
            shape = 0.8 * grid.edge(finding.radius - away, 0.02)
        elif finding.name.endswith("consolidation"):
            shape = 0.6 * grid.edge(0.15 + 0.09 * finding.severity - away, 0.12)
        elif finding.name.endswith("effusion"):
            climb = 0.15 * np.exp(-np.clip(cage, 0.0, None) / 0.06)
            shape = 0.85 * grid.edge(
                0.5 * finding.severity - 0.02 + climb - above + 0.2 * np.clip(grid.u, -1.0, 0.0), 0.05
            )
        elif finding.name == "atelectasis":
            shape = (
                0.7
                * grid.edge(0.02 - np.abs(above - 0.12 - 0.3 * grid.u), 0.02)
                * (np.abs(grid.u - 0.1) < 0.28)
            )
        elif finding.name == "edema":
            shape = (0.3 + 0.3 * finding.severity) * grid.glow(0.08, 0.0, 0.35, 0.4)
        else:
            continue
        dense = np.maximum(dense, shape)
    return dense


def hardware(grid: Grid, named: dict[str, Finding]) -> Plane:
    """Trachea, and the devices in front of it or inside it."""
    airway = -0.12 * grid.stroke([(0.02, -1.1), (0.12, -0.25)], 0.07)
    if "endotracheal tube" in named:
        airway = airway + 0.34 * grid.stroke([(0.02, -1.1), (0.09, -0.45)], 0.036)
    if "pacemaker" in named:
        case = grid.edge(0.03 - np.abs(grid.u + 0.42), 0.01) * grid.edge(0.09 - np.abs(grid.v + 0.42), 0.01)
        lead = grid.stroke([(-0.42, -0.42), (-0.1, -0.6), (0.0, 0.0), (-0.28, 0.36)], 0.02)
        airway = airway + 0.5 * np.maximum(case, 0.8 * lead)
    return airway
