"""Findings of lung and pleura, drawn into a frontal chest."""

from collections.abc import Callable

import numpy as np

from medistill.data.phantom.anatomy import Plane
from medistill.data.phantom.findings import Finding
from medistill.data.phantom.frontal import Chest, ridges


def center(chest: Chest, finding: Finding) -> tuple[float, float]:
    return chest.anatomy.point(finding.side, finding.across, finding.along)


def draw_cardiomegaly(chest: Chest, finding: Finding) -> None:
    """The heart itself is enlarged in the anatomy; here only its mask."""
    chest.masks[finding.name] = chest.grid.edge(chest.heart)


def draw_effusion(chest: Chest, finding: Finding) -> None:
    """Fluid with a meniscus that climbs the chest wall; it hides the diaphragm."""
    depth = 0.1 + 0.5 * finding.severity**1.3
    climb = (0.1 + 0.12 * finding.severity) * np.exp(-np.clip(chest.cage, 0.0, None) / 0.05)
    floor = chest.anatomy.dome(finding.side) + 0.08
    fluid = chest.grid.edge(chest.grid.v - floor + depth + climb, 0.04)
    chest.fill(finding.name, chest.side(finding.side) * fluid, 0.97)


def draw_pneumothorax(chest: Chest, finding: Finding) -> None:
    """Air without markings outside a collapsed lung, whose edge is a thin bright line."""
    grid, side = chest.grid, chest.side(finding.side)
    apical = np.clip((0.45 - grid.v) / 1.2, 0.0, 1.0)
    inward = chest.cage - (0.055 + 0.14 * finding.severity) * (0.35 + 1.1 * apical)
    free = side * grid.edge(-inward)
    chest.vessels = chest.vessels * (1 - free)
    chest.opacity = chest.opacity * (1 - free) - 0.36 * free
    chest.opacity += (0.1 + 0.12 * finding.severity) * side * (1 - free)
    chest.added += 0.2 * side * np.clip(1 - np.abs(inward) / max(0.014, 0.75 * grid.pixel), 0.0, 1.0)
    chest.masks[finding.name] = free


def draw_consolidation(chest: Chest, finding: Finding) -> None:
    """A patch with an irregular, soft edge and dark bronchi running through it."""
    u, v = center(chest, finding)
    du, dv = chest.grid.u - u, chest.grid.v - v
    a, b, c, _ = finding.shape
    ragged = (
        1 + 0.22 * np.sin(17 * du + 6 * a) * np.sin(15 * dv + 6 * b) + 0.12 * np.sin(31 * (du + dv) + 6 * c)
    )
    size = 0.19 + 0.1 * finding.severity
    patch = chest.grid.edge(size - np.hypot(du, dv * (0.8 + 0.5 * b)) * ragged, 0.1) * chest.side(
        finding.side
    )
    bronchi = ridges(26 * (dv + finding.side * du * (c - 0.2)))
    chest.fill(finding.name, patch, 0.75 + 0.2 * finding.severity)
    chest.opacity -= 0.22 * patch * bronchi


def draw_round(chest: Chest, finding: Finding) -> None:
    """A nodule (round) or a mass (lobulated), with a sharp edge."""
    u, v = center(chest, finding)
    du, dv = chest.grid.u - u, chest.grid.v - v
    lobes = (
        0.14 * np.sin(3 * np.arctan2(dv, du + 1e-9) + 6 * finding.shape[0]) if finding.name == "mass" else 0.0
    )
    shape = chest.grid.edge(finding.radius * (1 + lobes) - np.hypot(du, dv), 0.02)
    chest.fill(finding.name, shape, 0.95)
    chest.added += 0.24 * shape


def draw_edema(chest: Chest, finding: Finding) -> None:
    """Haze around both hila, indistinct vessels, and lines at the bases."""
    grid = chest.grid
    away = np.hypot((chest.x - 0.2) / 0.26, (grid.v - 0.02) / 0.36)
    cloud = np.exp(-away * away) * (
        0.8 + 0.35 * np.sin(16 * grid.u + 6 * finding.shape[0]) * np.sin(14 * grid.v)
    )
    lines = (
        np.maximum(np.cos(60 * grid.v), 0.0)
        * np.exp(-(((chest.cage - 0.05) / 0.05) ** 2))
        * (chest.above < 0.3)
    )
    haze = np.clip(cloud, 0.0, 1.0) * chest.lungs
    chest.fill(finding.name, haze, 0.45 + 0.35 * finding.severity)
    chest.opacity += 0.12 + 0.25 * lines
    chest.masks[finding.name] = np.clip(1.6 * haze, 0.0, 1.0)


def draw_atelectasis(chest: Chest, finding: Finding) -> None:
    """Plates of collapsed lung above a raised hemidiaphragm."""
    grid, side = chest.grid, chest.side(finding.side)
    count = 1 + (finding.severity > 0.2) + (finding.severity > 0.7)
    base = chest.anatomy.dome(finding.side) - 0.1
    for number in range(count):
        slope = 0.5 * (finding.shape[number] - 0.5) * finding.side
        level = base - 0.13 * number - 0.05 * finding.shape[3]
        middle = finding.side * (0.46 - 0.05 * number)
        line = grid.v - level - slope * (grid.u - middle)
        ends = grid.edge(0.24 - np.abs(grid.u - middle), 0.06)
        chest.fill(finding.name, side * ends * grid.edge(0.03 - np.abs(line), 0.02), 0.95)


def draw_emphysema(chest: Chest, finding: Finding) -> None:
    """Lungs too large and too dark, with thin-walled bullae in the upper zones."""
    chest.masks[finding.name] = np.clip(1.4 * chest.lungs, 0.0, 1.0)
    for number in range(3):
        side = 1 if finding.shape[number] < 0.5 else -1
        u, v = chest.anatomy.point(side, 0.35 + 0.35 * finding.shape[number - 1], 0.16 + 0.16 * number)
        away = np.hypot(chest.grid.u - u, chest.grid.v - v) - 0.09 - 0.04 * finding.severity
        bulla = chest.side(side) * chest.grid.edge(-away, 0.02)
        chest.vessels = chest.vessels * (1 - bulla)
        chest.opacity -= 0.16 * bulla
        chest.opacity += 0.22 * chest.side(side) * np.clip(1 - np.abs(away) / 0.018, 0.0, 1.0)


DRAWN_IN_LUNG: dict[str, Callable[[Chest, Finding], None]] = {
    "emphysema": draw_emphysema,
    "cardiomegaly": draw_cardiomegaly,
    "edema": draw_edema,
    "left consolidation": draw_consolidation,
    "right consolidation": draw_consolidation,
    "nodule": draw_round,
    "mass": draw_round,
    "atelectasis": draw_atelectasis,
    "left pneumothorax": draw_pneumothorax,
    "right pneumothorax": draw_pneumothorax,
    "left effusion": draw_effusion,
    "right effusion": draw_effusion,
}
"""In the order of drawing: what lies in the pleura hides what lies in the lung."""


def visible(mask: Plane) -> Plane:
    """A mask as 0 or 1."""
    return (mask > 0.4) * 1.0
