"""COVIDx: COVID-19 against its absence."""

from medistill.evaluate.protocols.protocol import Protocol

COVID = Protocol(
    name="covid",
    about="COVID-19 by one prompt a side",
    sources=("covidx",),
    task="findings",
    unit="image",
    positive=("{}", "Findings consistent with {}."),
    negative=("No {}", "No findings of {}."),
    headline="auroc_macro",
    reproduces="no paper: the papers' lists are unpublished or differ (MedCLIP, MGCA, BenchX, DLILP)",
    traps=(
        "positive and negative images of COVIDx come from different hospitals and publications: a model "
        "can tell them apart by the film alone",
        "COVIDx exists in nine versions with two or three classes; the version stands on the corpus's card",
    ),
)
