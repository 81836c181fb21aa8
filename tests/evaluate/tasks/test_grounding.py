"""Pointing game and contrast to noise, against loops, planted models and chance."""

from dataclasses import dataclass

import numpy as np
import pytest

from medistill.evaluate.evaluation import evaluate_model
from medistill.evaluate.pages.evaluation import page
from medistill.evaluate.pages.grounding import panels
from medistill.evaluate.statistics.interval import Figure, patient_weights
from medistill.evaluate.tasks.grounding import contrast_to_noise, ground, pointing, pointing_center
from medistill.model.grounding import PhraseMap
from medistill.system.json_files import canonical_json
from tests.evaluate.conftest import (
    DIRECTIONS,
    FINDINGS,
    FakeCorpus,
    FakeRows,
    KnowingModel,
    fake_rows,
    sample_of,
)

SHAPE = (12, 8)


@dataclass
class MarkedRows(FakeRows):
    """Images of 12 x 8 pixels; every present finding is marked by a block of 3 x 2 pixels of its own."""

    def image(self, i: int) -> np.ndarray:
        image = np.zeros(SHAPE, np.uint8)
        image[0, : len(FINDINGS)] = 200 * (self.labels[i] == 1)
        image[-1] = np.frombuffer(self.study_ids[i][-4:].encode() * 2, np.uint8)
        return image

    def regions(self, i: int) -> dict[str, np.ndarray]:
        named = zip(FINDINGS, self.labels[i] == 1, strict=True)
        return {name: block(self.study_ids[i], f) for f, (name, there) in enumerate(named) if there}


def block(study: str, finding: int) -> np.ndarray:
    """A place of its own for each study and finding."""
    row, column = np.random.default_rng([finding, *study.encode()]).integers((4, 4)) * (3, 2)
    region = np.zeros(SHAPE, bool)
    region[row : row + 3, column : column + 2] = True
    return region


def blocks(cells: np.ndarray) -> PhraseMap:
    return PhraseMap(cells.astype(np.float32), 1.5 + 3 * np.arange(4), 1.0 + 2 * np.arange(4), SHAPE)


class Pointing(KnowingModel):
    """Its map of an image peaks at the mark of the finding that is asked for."""

    def phrase_maps(self, images, phrases):
        asked = (np.asarray(phrases) @ np.linalg.pinv(DIRECTIONS)).argmax(axis=1)
        return [self._map(image, int(finding)) for image, finding in zip(images, asked, strict=True)]

    def _map(self, image, finding):
        return blocks(block(f"test-study-{image[-1, :4].tobytes().decode()}", finding)[1::3, ::2])


class Guessing(Pointing):
    """Its map peaks at one of the sixteen places, whatever the image."""

    def _map(self, image, finding):
        random = np.random.default_rng([finding, *image[-1].tolist()])
        cells = np.zeros(16)
        cells[random.integers(16)] = 1
        return blocks(cells.reshape(4, 4))


class Flat(Pointing):
    def _map(self, image, finding):
        return blocks(np.zeros((4, 4)))


def marked(count: int = 120) -> FakeCorpus:
    plain = fake_rows(count, "test")
    return FakeCorpus({"test": MarkedRows(**vars(plain))})


def figures(model, corpus, **given):
    return evaluate_model(model, corpus, resamples=60, draws=2, **given).metrics["grounding"]


def test_a_model_that_marks_the_place_scores_one_and_beats_the_middle():
    found = figures(Pointing(), marked())
    assert found["pointing_game"]["value"] == 1
    assert {found[f"pointing_game/{finding}"]["value"] for finding in FINDINGS} == {1}
    assert found["pointing_game_over_center"]["low"] > 0.8
    assert found["cnr_signed"]["value"] > 1


def test_a_model_that_guesses_scores_chance_within_its_interval():
    sample = sample_of(marked(600).split("test"), resamples=100)
    found = ground(Guessing(), sample, FINDINGS, DIRECTIONS.astype(np.float32)).metrics
    assert found["pointing_game_chance"]["value"] == pytest.approx(1 / 16)
    assert found["pointing_game"]["low"] < 1 / 16 < found["pointing_game"]["high"]
    assert found["cnr_signed"]["low"] < 0 < found["cnr_signed"]["high"]
    assert found["cnr"]["low"] > 0  # BioViL's has no sign: a map that is dark at the mark counts as well


def test_a_flat_map_scores_chance_and_has_no_contrast():
    found = figures(Flat(), marked())
    assert found["pointing_game"]["value"] == pytest.approx(1 / 16)
    assert found["cnr"]["value"] is None
    assert "contrast" in found["cnr"]["reason"]


def test_figures_are_means_by_finding_then_over_findings():
    corpus, model = marked(80), Guessing()
    found, rows = figures(model, corpus), corpus.split("test")
    by = {name: [] for name in FINDINGS}
    cases, weights = {name: [] for name in FINDINGS}, patient_weights(sorted(rows.patient_ids), 60, seed=0)
    for i in range(len(rows)):
        for name, region in rows.regions(i).items():
            by[name].append(pointing(model._map(rows.image(i), FINDINGS.index(name)).over_image(), region))
            cases[name].append(i)
    for name, hits in by.items():
        assert found[f"pointing_game/{name}"]["value"] == pytest.approx(np.mean(hits))
        assert found[f"pointing_game/{name}"]["n_marks"] == len(hits)
        drawn = weights[cases[name]]
        resampled = [(column * hits).sum() / column.sum() for column in drawn.T[1:]]
        np.testing.assert_allclose(found[f"pointing_game/{name}"].spread, resampled, rtol=1e-5)
    assert found["pointing_game"]["value"] == pytest.approx(np.mean([np.mean(hits) for hits in by.values()]))
    assert found["pointing_game"]["n_findings"] == len(FINDINGS)
    images = sum(bool(rows.regions(i)) for i in range(len(rows)))
    assert found["pointing_game"]["n_images"] == images


def test_the_difference_to_the_middle_is_paired():
    found = figures(Guessing(), marked())
    game, middle, beyond = (
        found[name] for name in ("pointing_game", "pointing_game_center", "pointing_game_over_center")
    )
    assert all(isinstance(entry, Figure) for entry in (game, middle, beyond))
    np.testing.assert_allclose(game.spread - middle.spread, beyond.spread)


@pytest.mark.parametrize("seed", range(5))
def test_the_pointing_game_is_a_loop_over_tied_maxima(seed):
    random = np.random.default_rng(seed)
    heat = random.integers(0, 4, (7, 5)).astype(float)
    region = random.random((7, 5)) < 0.4
    hits = [
        float(region[y, x])
        for y in range(7)
        for x in range(5)
        if all(heat[y, x] >= other for other in heat.flat)
    ]
    assert pointing(heat, region) == pytest.approx(sum(hits) / len(hits))


def test_rounding_does_not_break_a_tie():
    region = np.array([[True, False, False]])
    assert pointing(np.array([[1.0, 1.0 + 1e-9, 0.0]]), region) == 0.5
    assert pointing(np.array([[1.0, 1.0 + 1e-5, 0.0]]), region) == 0


@pytest.mark.parametrize("seed", range(3))
def test_the_contrast_is_a_loop_over_pixels(seed):
    random = np.random.default_rng(seed)
    heat, region = random.random((7, 5)), random.random((7, 5)) < 0.4
    inside = [heat[y, x] for y in range(7) for x in range(5) if region[y, x]]
    outside = [heat[y, x] for y in range(7) for x in range(5) if not region[y, x]]
    means = [sum(part) / len(part) for part in (inside, outside)]
    noise = sum(
        sum((x - mean) ** 2 for x in part) / len(part)
        for part, mean in zip((inside, outside), means, strict=True)
    )
    assert contrast_to_noise(heat, region) == pytest.approx((means[0] - means[1]) / noise**0.5)
    assert contrast_to_noise(-heat, region) == pytest.approx(-contrast_to_noise(heat, region))


def test_a_mark_that_is_everything_or_nothing_has_no_contrast():
    heat = np.random.default_rng(0).random((4, 4))
    assert np.isnan(contrast_to_noise(heat, np.ones((4, 4), bool)))
    assert np.isnan(contrast_to_noise(heat, np.zeros((4, 4), bool)))


@pytest.mark.parametrize(
    ("shape", "middle"),
    [((5, 7), [(2, 3)]), ((4, 7), [(1, 3), (2, 3)]), ((4, 2), [(1, 0), (1, 1), (2, 0), (2, 1)])],
)
def test_the_middle_is_where_the_image_has_it(shape, middle):
    for place in np.ndindex(shape):
        region = np.zeros(shape, bool)
        region[place] = True
        assert pointing_center(region) == (1 / len(middle) if place in middle else 0)


def test_without_marks_there_is_no_grounding(corpus, knowing):
    assert "grounding" not in evaluate_model(knowing, corpus, resamples=5, draws=2).metrics


def test_a_model_without_maps_gets_reasons_and_no_crash():
    evaluation = evaluate_model(KnowingModel(), marked(), resamples=5, draws=2)
    entries = evaluation.metrics["grounding"]
    assert {entry["value"] for entry in entries.values()} == {None}
    assert all("no map" in entry["reason"] for entry in entries.values())
    assert "no map" in page(evaluation, with_cases=True)


def test_only_present_findings_count():
    corpus = marked()
    rows = corpus.split("test")
    sample = sample_of(rows, resamples=5)
    regions = {i: rows.regions(i) for i in range(len(rows))}
    rows.regions = lambda i: regions[i]
    labels = sample.studies.labels
    labels[:, 0] = np.where(labels[:, 0] == 1, -1, labels[:, 0])
    found = ground(Pointing(), sample, FINDINGS, DIRECTIONS.astype(np.float32))
    assert f"pointing_game/{FINDINGS[0]}" not in found.metrics
    assert found.metrics["pointing_game"]["n_findings"] == 2


def test_shuffled_rows_give_the_same_grounding():
    corpus = marked()
    straight = canonical_json(figures(Guessing(), corpus))
    corpus.rows["test"] = MarkedRows(**vars(corpus.rows["test"].shuffled(3)))
    assert canonical_json(figures(Guessing(), corpus)) == straight


def test_the_protocol_and_the_page_say_how_and_show_maps_only_when_asked():
    told: list[tuple[str, int, int]] = []
    evaluation = evaluate_model(
        Pointing(), marked(), resamples=5, draws=2, on_progress=lambda *news: told.append(news)
    )
    assert "negative" in evaluation.protocol["grounding"]["phrase"]
    hidden, shown = (page(evaluation, with_cases=cases) for cases in (False, True))
    assert "Where the phrases point" in hidden
    assert "its map for" not in hidden
    assert shown.count("its map for") == len(evaluation.pointed) == 6
    assert "✓ inside the mark" in shown
    assert {case.finding for case in evaluation.pointed} == set(FINDINGS)
    done = {what: (count, total) for what, count, total in told}
    assert done["test images with marks"][0] == done["test images with marks"][1]


def test_a_drawn_case_has_the_outline_on_both_panels_and_a_cross_at_the_maximum():
    case = evaluate_model(Pointing(), marked(), resamples=5, draws=2).pointed[0]
    drawn = panels(case)
    assert drawn.shape[0] == 128
    half = drawn.shape[1] // 2
    down, across = np.nonzero(np.repeat(np.repeat(case.region, 11, axis=0), 11, axis=1))
    for panel in (drawn[:, :half], drawn[:, half:]):
        white = np.argwhere(panel == 255)
        assert down.min() - 8 <= white[:, 0].min() < white[:, 0].max() <= down.max() + 8
        assert across.min() - 8 <= white[:, 1].min() < white[:, 1].max() <= across.max() + 8
