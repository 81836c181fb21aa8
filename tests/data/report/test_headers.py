"""Headers of nine languages, however they are written, and texts whose headers are not known."""

import unicodedata

import pytest

from medistill.data.report import Sections, read_sections
from medistill.data.report.letters import unaccented
from medistill.data.rule_labels import label_report

REPORTS = {
    "French": "INDICATION : Toux.\nTECHNIQUE : Face.\nR\u00c9SULTATS : Pas d'\u00e9panchement.\nCONCLUSION : Normal.",
    "French, other words": "Renseignements cliniques :\nToux.\n\nProtocole : Face.\n\nCompte-rendu :\nPas d'\u00e9panchement."
    "\n\nAu total : Normal.",
    "Spanish": "MOTIVO DE CONSULTA: Tos.\nT\u00c9CNICA: PA.\nHALLAZGOS: Sin derrame.\nIMPRESI\u00d3N DIAGN\u00d3STICA: Normal.",
    "Spanish, one line": "Indicaci\u00f3n: Tos. T\u00e9cnica: PA. Hallazgos: Sin derrame. Conclusi\u00f3n: Normal.",
    "Portuguese": "INDICA\u00c7\u00c3O CL\u00cdNICA: Tosse.\nT\u00c9CNICA: PA.\nAN\u00c1LISE: Sem derrame.\nIMPRESS\u00c3O: Normal.",
    "Portuguese, a form": "Nome: A. B.\nIdade: 50\nIndica\u00e7\u00e3o: Tosse.\nAchados: Sem derrame.\nOpini\u00e3o: Normal.",
    "German": "Fragestellung: Pneumonie?\nTechnik: pa.\nBefund: Kein Erguss.\nBeurteilung: Normal.",
    "German, lines": "KLINISCHE ANGABEN\nHusten.\nVORAUFNAHMEN\nKeine.\nBEFUND\nKein Erguss.\nZUSAMMENFASSUNG\nNormal."
    "\nMit freundlichen Gr\u00fc\u00dfen\nDr. C",
    "Italian": "Quesito clinico: Tosse.\nTecnica: PA.\nReferto: Non versamento.\nConclusioni: Normale.",
    "Dutch": "Klinische gegevens: Hoest.\nTechniek: PA.\nVerslag: Geen pleuravocht.\nConclusie: Normaal.",
    "Dutch, lines": "VRAAGSTELLING\nHoest?\nBEVINDINGEN\nGeen pleuravocht.\nBEOORDELING\nNormaal.",
    "Chinese": "\u68c0\u67e5\u76ee\u7684\uff1a\u54b3\u55fd\n\u68c0\u67e5\u6280\u672f\uff1a\u6b63\u4f4d\n\u5f71\u50cf\u6240\u89c1\uff1a\u4e24\u80ba\u6e05\u6670\u3002\n"
    "\u8bca\u65ad\u610f\u89c1\uff1a\u6b63\u5e38\u3002",
    "Chinese, brackets": "\u3010\u75c5\u53f2\u3011\u54b3\u55fd\n\u3010\u5f71\u50cf\u8868\u73b0\u3011\u4e24\u80ba\u6e05\u6670\u3002\n\u3010\u5370\u8c61\u3011\u6b63\u5e38\u3002",
    "Chinese, one line": "\u75c5\u53f2: \u54b3\u55fd \u6240\u89c1: \u4e24\u80ba\u6e05\u6670\u3002 \u5370\u8c61: \u6b63\u5e38\u3002",
    "Japanese": "\u691c\u67fb\u76ee\u7684\uff1a\u54b3\n\u64ae\u5f71\u65b9\u6cd5\uff1a\u6b63\u9762\n\u6240\u898b\uff1a\u80ba\u91ce\u306f\u6e05\u3002\n\u8a3a\u65ad\uff1a\u7570\u5e38\u306a\u3057\u3002",
    "Japanese, lines": "\u9069\u5fdc\n\u54b3\n\u6240\u898b\n\u80ba\u91ce\u306f\u6e05\u3002\n\u7d50\u8ad6\n\u7570\u5e38\u306a\u3057\u3002",
}
PARTS = {
    "French": ("Toux.", "Pas d'\u00e9panchement.", "Normal."),
    "Spanish": ("Tos.", "Sin derrame.", "Normal."),
    "Portuguese": ("Tosse.", "Sem derrame.", "Normal."),
    "German": ("Pneumonie?", "Kein Erguss.", "Normal."),
    "German, lines": ("Husten.", "Kein Erguss.", "Normal."),
    "Italian": ("Tosse.", "Non versamento.", "Normale."),
    "Dutch": ("Hoest.", "Geen pleuravocht.", "Normaal."),
    "Dutch, lines": ("Hoest?", "Geen pleuravocht.", "Normaal."),
    "Chinese": ("\u54b3\u55fd", "\u4e24\u80ba\u6e05\u6670\u3002", "\u6b63\u5e38\u3002"),
    "Japanese": ("\u54b3", "\u80ba\u91ce\u306f\u6e05\u3002", "\u7570\u5e38\u306a\u3057\u3002"),
}
SPELLINGS = {
    "as it is": lambda text: text,
    "decomposed": lambda text: unicodedata.normalize("NFD", text),
    "without accents": lambda text: (
        text if not text.isascii() and ord(max(text)) > 0x2000 else unaccented(text)
    ),
    "full-width colons": lambda text: text.replace(":", "\uff1a"),
    "no-break spaces": lambda text: text.replace(" :", "\u00a0:").replace(": ", ":\u00a0"),
    "with markup": lambda text: text.replace("\n", "<br/>"),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("name", REPORTS)
def test_the_sections_of_a_report_in_another_language_are_told_apart(name, spelling):
    parts = PARTS.get(name) or PARTS[name.split(",")[0]]
    read = read_sections(SPELLINGS[spelling](REPORTS[name]))
    said = (read.indication, read.findings, read.impression)
    assert tuple(map(unaccented, said)) == tuple(map(unaccented, parts))
    assert not read.is_whole


@pytest.mark.parametrize(
    "text",
    [
        "INDIKATION: hosta.\nFYND: Ingen v\u00e4tska.\nSLUTSATS: Normalt.",
        "INDIKATION: hosta. FYND: Ingen v\u00e4tska. SLUTSATS: Normalt.",
        "T\u00c8CNICA: Rx.\nTROBALLES: Sense vessament.\nCONCLUSI\u00d3: Normal.",
        "INDICATION: hosta.\nTECHNIQUE: pa.\nFYND: Ingen v\u00e4tska.\nCONCLUSION: Normalt.",
        "WSKAZANIE: kaszel.\nWYNIK: bez p\u0142ynu.\nWNIOSKI: norma.",
        "\u041f\u043e\u043a\u0430\u0437\u0430\u043d\u0438\u0435: \u043a\u0430\u0448\u0435\u043b\u044c.\n\u041e\u043f\u0438\u0441\u0430\u043d\u0438\u0435: \u043d\u043e\u0440\u043c\u0430.",
        "\uc801\uc751\uc99d: \uae30\uce68\n\uc18c\uacac: \uc815\uc0c1",
    ],
)
def test_of_a_language_whose_headers_are_not_known_the_whole_text_is_kept_and_told(text):
    read = read_sections(text)
    assert read.is_whole
    assert not read.impression
    assert not read.indication
    for word in text.replace(".", " ").split():
        assert word in read.findings


@pytest.mark.parametrize(
    "text",
    [
        "INDICATION: Cough.\nTECHNIQUE: PA.\nDose: 3 mGy.\nIMPRESSION: The chest is normal.",
        "INDICATION: Cough.",
        "Silueta normal. Sin derrame.",
        "HEART: Normal.\nLUNGS: The lungs are clear.",
    ],
)
def test_other_texts_are_not_kept_whole(text):
    assert not read_sections(text).is_whole


def test_findings_of_a_form_begin_at_the_parts_of_the_chest():
    read = read_sections("INDICATION: Cough.\nLUNGS: Clear.\nHEART: Normal.\nIMPRESSION: Normal.")
    assert read == Sections(
        indication="Cough.", findings="LUNGS: Clear. HEART: Normal.", impression="Normal."
    )


def test_what_was_asked_in_another_language_gives_no_label():
    text = "INDICATION : Pneumothorax ?\nR\u00c9SULTATS : Pneumothorax : non.\nCONCLUSION : Normal."
    assert label_report(text) == {"pneumothorax": 0}


@pytest.mark.parametrize(
    "text",
    [
        "Les r\u00e9sultats sont normaux.",
        "Der Befund ist normal.",
        "Il referto \u00e8 normale.",
        "\u672c\u6b21\u6240\u89c1\u6b63\u5e38\u3002",
    ],
)
def test_a_word_within_a_sentence_is_no_header(text):
    assert read_sections(text) == Sections(findings=text)
