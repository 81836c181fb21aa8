"""Which prompts a finding gets."""

import pytest

from medistill.errors import CallError
from medistill.evaluate.prompts.resolved import resolve_prompts

GIVEN = {"alpha": {"positive": ["Alpha is seen."], "negative": ["Alpha is gone."]}}


def test_given_prompts_win_and_the_rest_get_a_template():
    prompts = resolve_prompts(["alpha", "beta_two"], GIVEN, source="csv")
    assert prompts["alpha"] == GIVEN["alpha"]
    assert prompts["beta_two"]["positive"] == ["beta two", "There is beta two."]
    assert prompts["beta_two"]["negative"] == ["No beta two.", "There is no beta two."]


def test_phantoms_bring_their_own_prompts():
    phantom = pytest.importorskip("medistill.data.phantom")
    finding = phantom.FINDINGS[0]
    assert resolve_prompts([finding], None, source="phantom")[finding] == phantom.PROMPTS[finding]


def test_prompts_for_a_finding_that_is_not_labeled_are_refused_by_name():
    with pytest.raises(CallError, match="'alpha', which the corpus does not label; it labels beta"):
        resolve_prompts(["beta"], GIVEN, source="csv")


@pytest.mark.parametrize("texts", [[], "one text", [""], [1], None])
def test_a_side_that_is_no_list_of_texts_is_refused(texts):
    with pytest.raises(CallError, match="under 'negative'"):
        resolve_prompts(["alpha"], {"alpha": {**GIVEN["alpha"], "negative": texts}}, source="csv")
