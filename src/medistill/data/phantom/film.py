"""From a patient and a pose to one exposed film, its masks and boxes."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from scipy.ndimage import uniform_filter

from medistill.data.phantom import devices
from medistill.data.phantom.anatomy import (
    Anatomy,
    Grid,
    Plane,
    Pose,
    film_grid,
    patient_grid,
    random_pose,
)
from medistill.data.phantom.findings import Finding, affected
from medistill.data.phantom.frontal import (
    Chest,
    draw_airway,
    draw_ribs,
    draw_shoulders,
    draw_soft_parts,
    draw_spine,
    frontal_chest,
)
from medistill.data.phantom.lateral import draw_lateral
from medistill.data.phantom.opacities import DRAWN_IN_LUNG, visible
from medistill.data.study import StudyImage


@dataclass(frozen=True, kw_only=True)
class Exposure:
    """One film's technique, independent of who is on it."""

    view: str
    pose: Pose
    gain: float
    lift: float
    gamma: float
    slant: tuple[float, float]
    grain: float
    frame: tuple[float, float, float, float]
    """How much the collimator cuts at left, right, top, bottom."""
    tilt: float
    marker: str
    marker_at: tuple[float, float]
    marker_height: float
    extras: tuple[float, ...]
    noise: int
    """Seed of the grain, the only thing that depends on the number of pixels."""


def random_exposure(random: np.random.Generator, view: str) -> Exposure:
    def between(low: float, high: float) -> float:
        return low + (high - low) * random.random()

    portable = view == "AP"
    marker = "R" if random.random() < 0.5 else "L"
    return Exposure(
        view=view,
        pose=random_pose(random, portable=portable),
        gain=between(0.72, 1.25),
        lift=between(-0.07, 0.1),
        gamma=between(0.7, 1.5),
        slant=(between(-0.09, 0.09), between(-0.08, 0.08)),
        grain=between(0.012, 0.04) + 0.008 * portable,
        frame=tuple(max(0.0, between(-0.12, 0.11)) for _ in range(4)),  # type: ignore[arg-type]
        tilt=between(-0.04, 0.04),
        marker=marker,
        marker_at=((1 if marker == "L" else -1) * between(0.68, 0.84), between(-0.86, -0.5)),
        marker_height=between(0.13, 0.19),
        extras=tuple(random.random(8).tolist()),
        noise=int(random.integers(2**32)),
    )


def expose(anatomy: Anatomy, findings: Sequence[Finding], exposure: Exposure, size: int) -> StudyImage:
    """One film of a study as it is stored."""
    film = film_grid(size)
    if exposure.view == "lateral":
        density, masks = draw_lateral(anatomy, findings, patient_grid(film, exposure.pose)), {}
    else:
        density, masks = draw_frontal(anatomy, findings, exposure, film)
    open_field = collimator(film, exposure)
    drawn = {name: visible(mask * open_field) for name, mask in masks.items()}
    return StudyImage(
        image=png(developed(density, open_field, film, exposure)),
        view=exposure.view,
        masks={name: png((255 * mask).astype(np.uint8)) for name, mask in drawn.items()},
        boxes={name: box(mask) for name, mask in drawn.items() if mask.any()},
    )


def draw_frontal(
    anatomy: Anatomy, findings: Sequence[Finding], exposure: Exposure, film: Grid
) -> tuple[Plane, dict[str, Plane]]:
    portable = exposure.view == "AP"
    grid, turn = patient_grid(film, exposure.pose), exposure.pose.turn
    seen = affected(anatomy, findings, exposure.pose, portable=portable)
    chest = frontal_chest(seen, grid, turn=turn)
    named = {finding.name: finding for finding in findings}
    for name, draw in DRAWN_IN_LUNG.items():
        if name in named:
            draw(chest, named[name])
    draw_soft_parts(chest)
    draw_airway(chest, turn)
    draw_spine(chest)
    draw_ribs(chest, [finding for finding in findings if finding.name == "fracture"])
    draw_shoulders(chest, portable=portable)
    draw_devices(chest, named, exposure)
    return chest.film(), chest.masks


def draw_devices(chest: Chest, named: Mapping[str, Finding], exposure: Exposure) -> None:
    grid, extras = chest.grid, exposure.extras
    if "pacemaker" in named:
        shape = devices.pacemaker(chest.anatomy, grid, named["pacemaker"])
        chest.added += 0.6 * shape
        chest.masks["pacemaker"] = shape
    if "endotracheal tube" in named:
        shape = devices.endotracheal_tube(grid, named["endotracheal tube"], exposure.pose.turn)
        chest.added += 0.42 * shape
        chest.masks["endotracheal tube"] = shape
    if exposure.view == "AP":
        if extras[0] < 0.35:
            chest.added += 0.22 * devices.central_line(grid, 1 if extras[1] < 0.4 else -1, extras[2])
        if extras[3] < 0.3:
            chest.added += 0.2 * devices.feeding_tube(grid, extras[4])
        if extras[5] < 0.5:
            places = [(-0.5 + 0.2 * extras[6], -0.3), (0.45 + 0.2 * extras[7], 0.1 + 0.2 * extras[6])]
            chest.added += 0.3 * devices.electrodes(grid, places)


def collimator(film: Grid, exposure: Exposure) -> Plane:
    """1 where the beam reached the detector."""
    left, right, top, bottom = exposure.frame
    u, v = film.u + exposure.tilt * film.v, film.v - exposure.tilt * film.u
    inside = np.minimum(np.minimum(u + 1 - left, 1 - right - u), np.minimum(v + 1 - top, 1 - bottom - v))
    return film.edge(inside + film.pixel)


def developed(
    density: Plane, open_field: Plane, film: Grid, exposure: Exposure
) -> UInt8[np.ndarray, "size size"]:
    """Gain, tone curve, marker, grain."""
    slant = exposure.slant[0] * film.u + exposure.slant[1] * film.v
    light = np.clip((density + slant) * exposure.gain + exposure.lift, 0.0, None)
    fourth = light * light * light * light
    light = (light / np.sqrt(np.sqrt(1 + fourth))) ** exposure.gamma
    marker = devices.side_marker(film, exposure.marker, *exposure.marker_at, exposure.marker_height)
    light = light + (0.96 - light) * marker if exposure.view != "lateral" else light
    light = (light + exposure.grain * grain(exposure.noise, len(light))) * open_field + 0.02
    return np.clip(np.rint(255 * light), 0, 255).astype(np.uint8)


def grain(seed: int, size: int) -> Plane:
    """Unit noise, with some blur between neighbors once pixels are finer than a detector's."""
    white = np.random.Generator(np.random.PCG64(seed)).standard_normal((size, size))
    if size <= 128:
        return white
    return 0.3 * white + 1.1 * uniform_filter(white, size // 100)


def png(pixels: UInt8[np.ndarray, "size size"]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def box(mask: Plane) -> tuple[float, float, float, float]:
    """Left, top, right, bottom: the edges of the outermost pixels of a mask that is not empty."""
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)
