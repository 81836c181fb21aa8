"""The anatomy a phantom patient keeps, and the pose of one film."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float64

Plane = Float64[np.ndarray, "size size"]
"""One number a pixel; double precision, so that machines that round differently agree in grey levels."""
INNER = 0.15
"""Half the width of the mediastinum."""


@dataclass(frozen=True, kw_only=True)
class Anatomy:
    """What follow-ups share. One unit is about 190 mm; +u is the patient's left, +v is down."""

    width: float
    """Half the inner width of the rib cage."""
    apex: float
    widest: float
    domes: tuple[float, float]
    """Height of the right and left hemidiaphragm."""
    arch: float
    heart: float
    heart_tilt: float
    heart_low: float
    knob: float
    rib_gap: float
    rib_phase: float
    rib_arch: float
    rib_slope: float
    clavicle: float
    bend: float
    fat: float
    breast: float
    gas: float
    vessels: tuple[float, ...]
    air: float = 1.0
    markings: float = 1.0

    def dome(self, side: int) -> float:
        return self.domes[(side + 1) // 2]

    def wall(self, v: float) -> float:
        """Distance of the lateral chest wall from the midline."""
        # Below its widest place the cage goes straight down; above, the power rounds it towards the apex.
        rise = min(v - self.widest, 0.0) / (self.widest - self.apex)
        return self.width * max(1 - rise * rise, 0.0) ** 0.4

    def border(self, side: int, v: float) -> float:
        """Distance of the mediastinum's or heart's border from the midline."""
        behind_heart = max(0.0, 1 - ((v - self.heart_low) / (0.32 * self.heart)) ** 2) ** 0.5
        reach = (0.33 * self.heart + 0.1) if side > 0 else (0.33 * self.heart - 0.1)
        return max(INNER, reach * behind_heart)

    def point(self, side: int, across: float, along: float) -> tuple[float, float]:
        """Where in a lung: 0..1 from mediastinum to chest wall, 0..1 from apex to diaphragm."""
        v = self.apex + along * (self.dome(side) - self.apex)
        inner = self.border(side, v)
        return side * (inner + across * (self.wall(v) - inner)), v


@dataclass(frozen=True, kw_only=True)
class Pose:
    """How the patient stood before the detector, and how the film was cut."""

    shift: tuple[float, float]
    angle: float
    scale: float
    turn: float
    """Rotation about the long axis, as the shift of the heart against the cage."""
    breath: float
    """How much higher the diaphragm stands than at full inspiration."""
    lean: float


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Anatomical coordinates of the pixel centers."""

    u: Plane
    v: Plane
    pixel: float

    def edge(self, distance: Plane, softness: float = 0.0) -> Plane:
        """1 inside, 0 outside, over `softness` or one pixel, whichever is wider."""
        return np.clip(0.5 + distance / max(softness, self.pixel), 0.0, 1.0)

    def disc(self, u: float, v: float, radius: float, softness: float = 0.0) -> Plane:
        return self.edge(radius - np.hypot(self.u - u, self.v - v), softness)

    def glow(self, u: float, v: float, width: float, height: float) -> Plane:
        return np.exp(-(((self.u - u) / width) ** 2) - ((self.v - v) / height) ** 2)

    def stroke(self, points: Sequence[tuple[float, float]], thickness: float) -> Plane:
        """A line through `points`; thinner than a pixel it is drawn a pixel wide and fainter."""
        # The square of the distance to the nearest leg, by the foot of the perpendicular cut at its ends.
        nearest = np.full_like(self.u, np.inf)
        for (u0, v0), (u1, v1) in pairwise(points):
            du, dv = u1 - u0, v1 - v0
            along = np.clip(((self.u - u0) * du + (self.v - v0) * dv) / (du * du + dv * dv), 0.0, 1.0)
            away = (self.u - u0 - along * du) ** 2 + (self.v - v0 - along * dv) ** 2
            nearest = np.minimum(nearest, away)
        shown = max(thickness, self.pixel)
        return self.edge(shown / 2 - np.sqrt(nearest)) * (thickness / shown)

    def curve(self, points: Sequence[tuple[float, float]], thickness: float) -> Plane:
        """A stroke whose corners are cut at a quarter and three quarters of each leg (Chaikin)."""
        cut = [points[0]]
        for (u0, v0), (u1, v1) in pairwise(points):
            cut += [
                (0.75 * u0 + 0.25 * u1, 0.75 * v0 + 0.25 * v1),
                (0.25 * u0 + 0.75 * u1, 0.25 * v0 + 0.75 * v1),
            ]
        return self.stroke([*cut, points[-1]], thickness)


def film_grid(size: int) -> Grid:
    """The film itself: -1..1 both ways."""
    line = (np.arange(size) + 0.5) * (2.0 / size) - 1.0
    u, v = np.meshgrid(line, line)
    return Grid(u=u, v=v, pixel=2.0 / size)


def patient_grid(film: Grid, pose: Pose) -> Grid:
    """Where in the patient each pixel of the film looks."""
    # The pose undone: shift, then the turn by -angle and the scale, then the lean as a shear.
    u, v = film.u - pose.shift[0], film.v - pose.shift[1]
    cos, sin = np.cos(pose.angle) / pose.scale, np.sin(pose.angle) / pose.scale
    return Grid(u=cos * u + sin * v + pose.lean * v, v=cos * v - sin * u, pixel=film.pixel / pose.scale)


def random_anatomy(random: np.random.Generator, *, female: bool, age: float) -> Anatomy:
    def between(low: float, high: float) -> float:
        return low + (high - low) * random.random()

    stature = between(0.0, 1.0)
    right = between(0.34, 0.46)
    return Anatomy(
        width=between(0.68, 0.82) - 0.03 * female,
        apex=-0.74 - 0.1 * stature,
        widest=between(0.1, 0.3),
        domes=(right, right + between(0.0, 0.1)),
        arch=between(0.9, 1.5),
        heart=between(0.86, 1.08) + 0.001 * (age - 50),
        heart_tilt=between(0.35, 0.8),
        heart_low=right - between(0.14, 0.2),
        knob=between(0.06, 0.1) + 0.0005 * (age - 50),
        rib_gap=between(0.135, 0.17),
        rib_phase=between(0.0, 1.0),
        rib_arch=between(0.55, 1.0),
        rib_slope=between(0.4, 0.75),
        clavicle=between(-0.72, -0.6),
        bend=between(-0.03, 0.03),
        fat=between(0.0, 1.0),
        breast=between(0.4, 1.0) if female else 0.0,
        gas=between(0.0, 0.13),
        vessels=tuple(random.random(8).tolist()),
    )


def random_pose(random: np.random.Generator, *, portable: bool) -> Pose:
    """Portable (AP) films are less well aligned and taken at shallow inspiration."""

    def spread(reach: float) -> float:
        return reach * (2 * random.random() - 1)

    loose = 1.3 if portable else 1.0
    return Pose(
        shift=(spread(0.11 * loose), spread(0.1 * loose)),
        angle=spread(0.09 * loose),
        scale=0.96 + spread(0.13),
        turn=spread(0.05 * loose),
        breath=(0.08 if portable else 0.02) + spread(0.05),
        lean=spread(0.05 * loose),
    )
