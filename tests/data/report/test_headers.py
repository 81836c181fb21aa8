"""Headers of nine languages, however they are written, and texts whose headers are not known."""

import unicodedata

import pytest

from medistill.data.report import Sections, read_sections
from medistill.data.report.letters import unaccented
from medistill.data.rule_labels import label_report

REPORTS = {
    "French": "INDICATION : Toux.\nTECHNIQUE : Face.\nRÉSULTATS : Pas d'épanchement.\nCONCLUSION : Normal.",
    "French, other words": "Renseignements cliniques :\nToux.\n\nProtocole : Face.\n"
    "\nCompte-rendu :\nPas d'épanchement."
    "\n\nAu total : Normal.",
    "Spanish": "MOTIVO DE CONSULTA: Tos.\nTÉCNICA: PA.\nHALLAZGOS: Sin derrame."
    "\nIMPRESIÓN DIAGNÓSTICA: Normal.",
    "Spanish, one line": "Indicación: Tos. Técnica: PA. Hallazgos: Sin derrame. Conclusión: Normal.",
    "Portuguese": "INDICAÇÃO CLÍNICA: Tosse.\nTÉCNICA: PA.\nANÁLISE: Sem derrame.\nIMPRESSÃO: Normal.",
    "Portuguese, a form": "Nome: A. B.\nIdade: 50\nIndicação: Tosse.\nAchados: Sem derrame."
    "\nOpinião: Normal.",
    "German": "Fragestellung: Pneumonie?\nTechnik: pa.\nBefund: Kein Erguss.\nBeurteilung: Normal.",
    "German, lines": "KLINISCHE ANGABEN\nHusten.\nVORAUFNAHMEN\nKeine.\nBEFUND\nKein Erguss."
    "\nZUSAMMENFASSUNG\nNormal."
    "\nMit freundlichen Grüßen\nDr. C",
    "Italian": "Quesito clinico: Tosse.\nTecnica: PA.\nReferto: Non versamento.\nConclusioni: Normale.",
    "Dutch": "Klinische gegevens: Hoest.\nTechniek: PA.\nVerslag: Geen pleuravocht.\nConclusie: Normaal.",
    "Dutch, lines": "VRAAGSTELLING\nHoest?\nBEVINDINGEN\nGeen pleuravocht.\nBEOORDELING\nNormaal.",
    "Chinese": "检查目的\uff1a咳嗽\n检查技术\uff1a正位\n影像所见\uff1a两肺清晰。\n诊断意见\uff1a正常。",
    "Chinese, brackets": "【病史】咳嗽\n【影像表现】两肺清晰。\n【印象】正常。",
    "Chinese, one line": "病史: 咳嗽 所见: 两肺清晰。 印象: 正常。",
    "Japanese": "検査目的\uff1a咳\n撮影方法\uff1a正面\n所見\uff1a肺野は清。\n診断\uff1a異常なし。",
    "Japanese, lines": "適応\n咳\n所見\n肺野は清。\n結論\n異常なし。",
}
PARTS = {
    "French": ("Toux.", "Pas d'épanchement.", "Normal."),
    "Spanish": ("Tos.", "Sin derrame.", "Normal."),
    "Portuguese": ("Tosse.", "Sem derrame.", "Normal."),
    "German": ("Pneumonie?", "Kein Erguss.", "Normal."),
    "German, lines": ("Husten.", "Kein Erguss.", "Normal."),
    "Italian": ("Tosse.", "Non versamento.", "Normale."),
    "Dutch": ("Hoest.", "Geen pleuravocht.", "Normaal."),
    "Dutch, lines": ("Hoest?", "Geen pleuravocht.", "Normaal."),
    "Chinese": ("咳嗽", "两肺清晰。", "正常。"),
    "Japanese": ("咳", "肺野は清。", "異常なし。"),
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
        "INDIKATION: hosta.\nFYND: Ingen vätska.\nSLUTSATS: Normalt.",
        "INDIKATION: hosta. FYND: Ingen vätska. SLUTSATS: Normalt.",
        "TÈCNICA: Rx.\nTROBALLES: Sense vessament.\nCONCLUSIÓ: Normal.",
        "INDICATION: hosta.\nTECHNIQUE: pa.\nFYND: Ingen vätska.\nCONCLUSION: Normalt.",
        "WSKAZANIE: kaszel.\nWYNIK: bez płynu.\nWNIOSKI: norma.",
        "Показание: кашель.\nОписание: норма.",  # noqa: RUF001
        "적응증: 기침\n소견: 정상",
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
    text = "INDICATION : Pneumothorax ?\nRÉSULTATS : Pneumothorax : non.\nCONCLUSION : Normal."
    assert label_report(text)["pneumothorax"] == 0


@pytest.mark.parametrize(
    "text",
    [
        "Les résultats sont normaux.",
        "Der Befund ist normal.",
        "Il referto è normale.",
        "本次所见正常。",
    ],
)
def test_a_word_within_a_sentence_is_no_header(text):
    assert read_sections(text) == Sections(findings=text)
