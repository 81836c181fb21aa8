"""The page's curves: learning from few shots, and the training run."""

from collections.abc import Mapping, Sequence
from typing import Any

from medistill.evaluate.statistics.interval import Entry, Metrics
from medistill.evaluate.tasks.draws import SHOTS
from medistill.html.chart import Series, line_chart

_MOST_POINTS = 240


def training_charts(
    metrics: Mapping[str, Metrics], history: Sequence[Mapping[str, Any]]
) -> list[tuple[str, dict[str, Any]]]:
    """Whatever of the three charts there is something to draw for, each with its name."""
    charts = [
        ("Training loss", _loss_chart(history)),
        ("Recall@10 on validation", _recall_chart(history)),
        ("AUROC by shots", _shots_chart(metrics)),
    ]
    return [(name, chart) for name, chart in charts if chart]


def _points(history: Sequence[Mapping[str, Any]], *names: str) -> tuple[list[float], list[float]]:
    """Where along the run, in pairs (or steps), and the value of the first of these names a line holds."""
    xs: list[float] = []
    ys: list[float] = []
    for number, line in enumerate(history, start=1):
        value = next((line[name] for name in names if isinstance(line.get(name), int | float)), None)
        if value is not None and value == value:
            xs.append(float(line.get("pairs", line.get("step", number))))
            ys.append(float(value))
    thin = max(1, -(-len(xs) // _MOST_POINTS))
    return xs[::-1][::thin][::-1], ys[::-1][::thin][::-1]


def _x_name(history: Sequence[Mapping[str, Any]]) -> str:
    return "pairs seen" if any("pairs" in line for line in history) else "optimizer steps"


def _loss_chart(history: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    xs, ys = _points(history, "loss")
    if len(xs) < 2:
        return None
    series = [Series(name="training", x=xs, y=_smooth(ys), style="first")]
    if len(xs) > 30:
        series.insert(0, Series(name="", x=xs, y=ys, style="raw"))
    val_xs, val_ys = _points(history, "val/loss")
    if len(val_xs) > 1:
        series.append(Series(name="validation", x=val_xs, y=val_ys, style="second"))
    label = f"Training loss in nats, from {ys[0]:.2f} to {ys[-1]:.2f}"
    return line_chart(series, label=label, x_name=f"{_x_name(history)}; loss in nats")


def _smooth(ys: Sequence[float]) -> list[float]:
    """A centered mean over a twentieth of the points."""
    reach = len(ys) // 40
    windows = (ys[max(0, i - reach) : i + reach + 1] for i in range(len(ys)))
    return [sum(window) / len(window) for window in windows]


def _recall_chart(history: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    series: list[Series] = []
    for key, name, style in (
        ("i2t_r@10", "image to report", "first"),
        ("t2i_r@10", "report to image", "second"),
        ("chance_r@10", "chance", "chance"),
    ):
        xs, ys = _points(history, f"val/{key}", key)
        if len(xs) > 1:
            series.append(Series(name=name, x=xs, y=ys, style=style))
    if not any(s.style == "first" for s in series):
        return None
    top = max(y for s in series for y in s.y)
    domain = (0.0, min(1.0, -(-top * 1.05 // 0.1) * 0.1))
    label = f"Recall at 10 on validation, image to report: from {series[0].y[0]:.3f} to {series[0].y[-1]:.3f}"
    return line_chart(series, label=label, x_name=_x_name(history), y_domain=domain)


def _shots_chart(metrics: Mapping[str, Metrics]) -> dict[str, Any] | None:
    probes = _by_shots(metrics, "auroc_macro")
    if len(probes) < 2:
        return None
    shots = sorted(probes)
    values, lows, highs = (
        [_number(probes[k][part], probes[k]) for k in shots] for part in ("value", "low", "high")
    )
    series = [Series(name="linear probe", x=[float(k) for k in shots], y=values, low=lows, high=highs)]
    blended = _by_shots(metrics, "auroc_macro_lpp")
    if sorted(blended) == shots:
        ys = [_number(blended[k]["value"], blended[k]) for k in shots]
        series.append(Series(name="LP++", x=[float(k) for k in shots], y=ys, style="second"))
    zero = metrics.get("zero_shot", {}).get("auroc_macro", {}).get("value")
    ends = (float(shots[0]), float(shots[-1]))
    if zero is not None:
        series.append(Series(name=f"zero-shot, {float(zero):.3f}", x=ends, y=[float(zero)] * 2, style="zero"))
    series.append(Series(name="chance", x=ends, y=[0.5, 0.5], style="chance"))
    label = "Macro AUROC of the linear probe: " + ", ".join(
        f"{value:.3f} at {k}" for k, value in zip(shots, values, strict=True)
    )
    low = 0.4 if min(lows) > 0.4 else 0.0
    return line_chart(
        series,
        label=label,
        x_name="shots a class",
        y_domain=(low, 1.0),
        x_marks=[float(k) for k in shots],
        logarithmic=True,
    )


def _by_shots(metrics: Mapping[str, Metrics], name: str) -> dict[int, Entry]:
    """The defined figures of this name by their k; shares of the patients are no shots."""
    entries = {k: metrics.get("few_shot", {}).get(f"{name}@{k}") for k in SHOTS}
    return {k: entry for k, entry in entries.items() if entry and entry["value"] is not None}


def _number(part: object, entry: Mapping[str, Any]) -> float:
    """The bound, or the value itself where there is no interval."""
    return float(entry["value"]) if part is None else float(str(part))
