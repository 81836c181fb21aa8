"""Draws a frontal chest film: anatomy first, findings in their layers."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool

from medistill.data.phantom.anatomy import INNER, Anatomy, Grid, Plane
from medistill.data.phantom.findings import Finding


@dataclass(kw_only=True)
class Chest:
    """Distances to what bounds the lungs (positive inside), and the layers drawn so far."""

    grid: Grid
    anatomy: Anatomy
    x: Plane
    """Distance from the midline."""
    left: Bool[np.ndarray, "size size"]
    """The patient's left: the right half of the image."""
    cage: Plane
    above: Plane
    """Height above the diaphragm."""
    heart: Plane
    middle: Plane
    """Inside heart or mediastinum."""
    lungs: Plane
    opacity: Plane
    """0 aerated, 1 as dense as water, below 0 nothing but air."""
    vessels: Plane
    added: Plane
    masks: dict[str, Plane] = field(default_factory=dict[str, Plane])

    def side(self, side: int) -> Plane:
        """The lung of one side, 0..1."""
        return self.lungs * (self.left if side > 0 else ~self.left)

    def fill(self, name: str, shape: Plane, density: float) -> None:
        """Replace air by something of `density`; where it is drawn becomes the mask."""
        shaded = shape * density
        self.opacity = self.opacity + shaded - self.opacity * shaded
        self.masks[name] = np.maximum(self.masks[name], shape) if name in self.masks else shape

    def film(self) -> Plane:
        """What the detector sees, about 0 (air) to 1 (dense bone or metal)."""
        air = self.lungs * (1 - np.clip(self.opacity + self.vessels, -0.5, 1.0)) * self.anatomy.air
        return body(self) + self.added - 0.46 * air


def frontal_chest(anatomy: Anatomy, grid: Grid, *, turn: float) -> Chest:
    u = grid.u - anatomy.bend * np.sin(2.5 * grid.v + 6 * anatomy.rib_phase)
    x, left = np.abs(u), u > 0
    rise = np.minimum(grid.v - anatomy.widest, 0.0) / (anatomy.widest - anatomy.apex)
    across = x / anatomy.width
    cage = 0.36 * (1 - across * across * np.sqrt(across) - rise * rise)
    top = np.where(left, anatomy.domes[1], anatomy.domes[0])
    above = top + anatomy.arch * (np.minimum(x, anatomy.width) - 0.4) ** 2 - grid.v
    heart = heart_distance(anatomy, grid, u - turn)
    middle = np.maximum(heart, mediastinum_distance(anatomy, grid, u - turn / 2))
    inside = np.minimum(np.minimum(cage, above), -middle)
    lungs = grid.edge(inside, 0.035) * (0.72 + 0.28 * np.clip(cage / 0.13, 0.0, 1.0))
    chest = Chest(
        grid=grid, anatomy=anatomy, x=x, left=left, cage=cage, above=above, heart=heart, middle=middle,
        lungs=lungs, opacity=np.zeros_like(u), vessels=np.zeros_like(u), added=np.zeros_like(u),
    )  # fmt: skip
    chest.vessels = vessel_tree(chest)
    return chest


def heart_distance(anatomy: Anatomy, grid: Grid, u: Plane) -> Plane:
    """An egg lying on the left hemidiaphragm, its apex to the patient's left."""
    size = anatomy.heart
    du, dv = u - 0.1 - 0.06 * (size - 1), grid.v - anatomy.heart_low
    cos, sin = np.cos(anatomy.heart_tilt), np.sin(anatomy.heart_tilt)
    along, across = cos * du + sin * dv, cos * dv - sin * du
    return 0.29 * size - np.hypot(along * 0.29 / 0.37, across * (1 + 0.35 * along))


def mediastinum_distance(anatomy: Anatomy, grid: Grid, u: Plane) -> Plane:
    """The vertical band with the aortic knob and the pulmonary trunk on the patient's left."""
    band = INNER - 0.02 - 0.05 * np.exp(-(((grid.v + 0.62) / 0.18) ** 2)) - np.abs(u)
    knob = anatomy.knob - np.hypot(u - 0.1, grid.v + 0.36)
    trunk = 0.1 - np.hypot(u - 0.1, (grid.v + 0.14) * 0.6)
    return np.maximum(band, np.maximum(knob, trunk))


def vessel_tree(chest: Chest) -> Plane:
    """Branches that leave each hilum, more and thinner the farther out."""
    phase = chest.anatomy.vessels
    du, dv = chest.x - 0.13, chest.grid.v + 0.04
    r, angle = np.hypot(du, dv), np.arctan2(dv, du + 1e-9)
    angle = angle + 0.22 * np.sin(9 * r + 6 * np.where(chest.left, phase[0], phase[1]))
    start = np.where(chest.left, 6 * phase[2], 6 * phase[3])
    trunk = ridges(7 * angle + start)
    twigs = ridges(17 * angle + 2 * start + 5 * np.sin(6 * r))
    fine = ridges(31 * angle - 3 * start + 4 * np.sin(13 * r + start))
    fall = np.exp(-r / 0.24)
    hilum = 0.55 * np.exp(-((du / 0.08) ** 2) - (dv / 0.15) ** 2)
    tree = (0.5 * trunk * fall + 0.32 * twigs * fall + 0.1 * fine) * np.clip(r / 0.1 - 0.3, 0.0, 1.0)
    return chest.anatomy.markings * (tree + hilum)


def ridges(phase: Plane) -> Plane:
    """Narrow crests, one a turn."""
    crest = np.maximum(np.cos(phase), 0.0)
    crest = crest * crest  # multiplied out: a power above 2 takes as long as all the rest of the tree
    return crest * crest


def body(chest: Chest) -> Plane:
    """Soft tissue without the lungs: shoulders, chest wall, heart, abdomen."""
    grid, anatomy, x = chest.grid, chest.anatomy, chest.x
    axilla = np.clip(-0.22 - 0.1 * anatomy.fat - grid.v, 0.0, 1.0)
    flank = anatomy.width + 0.1 + 0.12 * anatomy.fat + 2.4 * axilla * axilla
    slope = grid.v + 0.98 - 0.26 * np.minimum(x, 1.3) ** 2 - 0.05 * anatomy.fat
    neck = 0.24 + 0.05 * anatomy.fat - x
    shoulder = 0.5 * (slope + neck + np.sqrt((slope - neck) ** 2 + 0.012))
    inside = np.minimum(flank - x, shoulder)
    tissue = grid.edge(inside, 0.03) * (0.36 + 0.2 * np.clip(inside / 0.3, 0.0, 1.0))
    belly = grid.edge(-chest.above, 0.03) * (0.17 - 0.05 * chest.left) * np.clip(inside / 0.2, 0.0, 1.0)
    middle = 0.15 * grid.edge(chest.middle, 0.05) + 0.06 * np.clip(chest.heart / 0.25, 0.0, 1.0)
    return tissue + belly + middle


def draw_airway(chest: Chest, turn: float) -> None:
    """Trachea and main bronchi, darker than the mediastinum they cross."""
    t = turn / 2
    airway = chest.grid.stroke([(t, -1.1), (t + 0.005, -0.26)], 0.075)
    bronchi = chest.grid.stroke([(t - 0.13, -0.12), (t, -0.27), (t + 0.15, -0.1)], 0.05)
    chest.added -= 0.15 * np.maximum(airway, 0.7 * bronchi)


def draw_spine(chest: Chest) -> None:
    grid = chest.grid
    column = grid.edge(0.085 - chest.x, 0.03)
    bodies = 0.75 + 0.25 * np.cos(2 * np.pi * grid.v / (chest.anatomy.rib_gap * 0.95))
    pedicles = np.exp(-(((chest.x - 0.06) / 0.02) ** 2)) * np.maximum(bodies - 0.5, 0.0)
    chest.added += 0.11 * column * bodies + 0.08 * pedicles


def draw_ribs(chest: Chest, fractures: Sequence[Finding]) -> None:
    """Posterior ribs fall towards the wall, anterior ones rise to it; together they cross."""
    grid, anatomy, x = chest.grid, chest.anatomy, chest.x
    shown = grid.edge(chest.cage + 0.015, 0.02)
    arch = anatomy.rib_arch * (1.1 - 0.5 * np.clip(grid.v, -0.8, 0.6))
    posterior = (grid.v - arch * (x - 0.22) ** 2) / anatomy.rib_gap + anatomy.rib_phase
    # Whole numbers of `posterior` are the gaps between ribs: a fracture shifts and cuts it on one side.
    shift, gap, callus = broken(chest, posterior, fractures)
    band = rib_bands(grid, posterior + shift, 0.36, anatomy.rib_gap) * (1 - gap)
    anterior = (grid.v + anatomy.rib_slope * x - 0.25 * x * x) / (
        1.15 * anatomy.rib_gap
    ) + 3 * anatomy.rib_phase
    front = rib_bands(grid, anterior, 0.4, anatomy.rib_gap) * grid.edge(x - 0.36, 0.1)
    fade = (1 - 0.85 * grid.edge(-chest.above - 0.05, 0.3)) * (1 - 0.45 * grid.edge(chest.heart, 0.08))
    chest.added += (
        shown
        * fade
        * (
            0.13 * band * grid.edge(x - 0.05, 0.05)
            + 0.07 * front * (1 - gap)
            + 0.5 * callus * (1 - 0.7 * gap)
        )
    )
    chest.added += 0.06 * (1 - np.clip(np.abs(chest.cage) / 0.02, 0.0, 1.0)) * (chest.above > 0)


def rib_bands(grid: Grid, index: Plane, duty: float, gap: float) -> Plane:
    """One band around the middle of each whole number, its rims denser than its marrow."""
    from_center = np.abs(index - np.floor(index) - 0.5) * gap
    half = duty * gap / 2
    return grid.edge(half - from_center, 0.012) * (0.75 + 0.25 * np.clip(from_center / half, 0.0, 1.0) ** 2)


def broken(chest: Chest, index: Plane, fractures: Sequence[Finding]) -> tuple[Plane, Plane, Plane]:
    """Where ribs step (in rib spacings), where they gape, and where their ends are thick with callus."""
    nothing = np.zeros_like(index)
    shift, gap, callus = nothing, nothing, nothing
    for finding in fractures:
        u, v = chest.anatomy.point(finding.side, finding.across, finding.along)
        arch = chest.anatomy.rib_arch * (1.1 - 0.5 * v)
        first = np.floor((v - arch * (abs(u) - 0.22) ** 2) / chest.anatomy.rib_gap + chest.anatomy.rib_phase)
        count = 3 + (finding.severity > 0.5)
        near = chest.left if finding.side > 0 else ~chest.left
        ribs = (index >= first) & (index < first + count) & near
        away = chest.x - abs(u)
        step = 0.3 if finding.shape[0] < 0.5 else -0.3
        shift = shift + step * ribs * (away > 0) * np.exp(-np.abs(away) / 0.16)
        gap = np.maximum(gap, ribs * np.exp(-((away / 0.02) ** 2)))
        across = (index + shift - np.floor(index + shift) - 0.5) * chest.anatomy.rib_gap
        lump = np.exp(-(((np.abs(away) - 0.04) / 0.045) ** 2) - (across / 0.045) ** 2)
        callus = np.maximum(callus, ribs * lump)
        bruise = chest.grid.glow(u, v + 0.5 * (count - 1) * chest.anatomy.rib_gap, 0.15, 0.09 * count)
        chest.opacity += 0.58 * bruise * near
        chest.masks["fracture"] = ribs * (np.abs(away) < 0.12) * 1.0
    return shift, gap, callus


def draw_shoulders(chest: Chest, *, portable: bool) -> None:
    grid, y = chest.grid, chest.anatomy.clavicle
    wave = y - 0.22 * chest.x + 0.05 * np.sin(7 * chest.x)
    clavicle = grid.edge(0.03 - np.abs(grid.v - wave), 0.015) * grid.edge(chest.x - 0.09, 0.03)
    clavicle = clavicle * grid.edge(0.82 - chest.x, 0.03)
    scapula = 0.62 if portable else 0.76
    blade = grid.edge(chest.x - scapula - 0.12 * np.clip(grid.v + 0.2, 0.0, 1.0), 0.03)
    blade = blade * grid.edge(0.02 - grid.v, 0.2) * grid.edge(grid.v + 0.68, 0.08)
    humerus = grid.edge(0.15 - np.hypot(chest.x - 0.97, grid.v + 0.66), 0.03)
    chest.added += 0.16 * clavicle + 0.07 * blade + 0.12 * humerus


def draw_soft_parts(chest: Chest) -> None:
    """Breast shadows and the gas bubble of the stomach."""
    grid, anatomy = chest.grid, chest.anatomy
    if anatomy.breast:
        low = 0.2 + 0.12 * anatomy.breast
        breast = grid.edge(0.3 - np.hypot(chest.x - 0.44, (grid.v - low + 0.2) * 0.95), 0.05)
        chest.added += 0.07 * anatomy.breast * breast * np.clip((grid.v - low + 0.35) / 0.3, 0.0, 1.0)
    if anatomy.gas > 0.03:
        v = anatomy.domes[1] + 0.06 + anatomy.gas
        bubble = anatomy.gas - np.hypot((grid.u - 0.34) * 0.7, np.maximum(grid.v - v, 1.6 * (v - grid.v)))
        chest.added -= 0.3 * grid.edge(bubble, 0.03)
