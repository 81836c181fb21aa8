"""The words by which a report in English denies, doubts, and calls things normal.

Patterns are matched as those of the lexicon: small letters, no hyphens, every repetition bounded.
"""

from importlib.resources import files

ANATOMY = (
    r"chest|lungs?|heart|cardiac|cardio\w+|mediastin\w+|pleural|costophrenic|ribs?|bon(?:e|es|y)|osseous|"
    r"skelet\w+|"
    r"thora\w+|spine|vasculature|vascular\w*|pulmonary|hil(?:a|ar|um)|diaphragms?|hemidiaphragms?|"
    r"trachea\w*|aort\w+|"
    r"soft tissues?|airways?|silhouette|contours?|study|exam\w*|radiographs?|films?|x ?ray|structures|"
    r"abdomen|"
    r"upper abdomen|parenchyma|aeration|tissues"
)
CALLED_NORMAL = (
    r"normal(?:ly)?|unremarkable|clear|intact|within (?:\w+ )?limits|well (?:expanded|aerated|inflated)|"
    r"negative|"
    r"not enlarged|sharp|preserved|upper limits? of normal|midline|patent|not (?:\w+ )?(?:enlarged|"
    r"widened)|no acute|without acute"
)
NOT_NEGATION = (
    r"no (?:\w+ ){0,2}(?:change|changes|increase|decrease|difference|improvement|"
    r"progression)(?: \w+)? (?:in|of|from|since|to)",
    r"no (?:\w+ ){0,2}(?:change|changes)",
    r"not (?:\w+ )?(?:changed|increased|decreased)|not only",
    r"no comparison|no prior\w*|no previous",
    r"without (?:\w+ ){0,2}change",
    r"(?:no|without) (?:\w+ )?doubt",
)
HEDGED_AFTER = (
    r"(?:cannot|can not|can t|could not|not|difficult to) (?:be )?(?:\w+ )?(?:exclude|excluded|rule out|"
    r"ruled out)",
    r"(?:is|are|be) (?:not )?(?:\w+ )?(?:possible|suspected|questioned|considered|suggested|"
    r"a consideration)",
    r"(?:is|are) not (?:\w+ )?(?:excluded|ruled out)",
)
"""Doubt about what stands before, or behind."""
HEDGED = (
    r"possibl[ey]|possibilit\w+|questionabl[ey]|question of|suspicious|suspected|suspicion|suspect|"
    r"suggest\w*|concern\w*|"
    r"worrisome|may|might|could|versus|vs|equivocal|uncertain|indeterminate|perhaps|potential(?:ly)?|"
    r"consider\w*|"
    r"differential|less likely|cannot|rule out|r o|question|alternatively|exclude|evaluate for|"
    r"presum\w+|if clinically|"
    r"query|difficult to|whether"
)
NEGATED = (
    r"no|not|without|absence of|absent|free of|free from|negative for|nor|neither|never|resol(?:ved|"
    r"ution)(?: of)?|"
    r"clear of|ruled? out|lack of|fails? to|denies|rather than|non|nothing|none|cleared|exclude[sd]?|"
    r"removal of|extubat\w+"
)
NEGATED_AFTER = (
    r"(?:is|are|was|were)(?: \w+)? (?:not|no longer)(?: \w+){0,2} (?:seen|identified|present|evident|"
    r"visualized|visible|"
    r"noted|demonstrated|appreciated|detected|apparent)|"
    r"not (?:\w+ )?(?:seen|identified|present|evident|visualized|visible|noted|demonstrated|appreciated|"
    r"detected|apparent)|"
    r"(?:is|are) absent|(?:has|have) (?:\w+ )?(?:resolved|cleared)|(?:is|are) (?:\w+ )?(?:resolved|"
    r"unlikely|excluded)|unlikely|"
    r"(?:(?:has|have) been |(?:was|were) )?removed|ruled out"
)
CALLED_NORMAL_AFTER = (
    r"within (?:\w+ )?limits|(?:is|are|appears?|remains?)(?: \w+)? (?:normal|"
    r"unremarkable)|(?:at )?(?:the )?upper limits? of normal"
)
"""Behind a term, with no comma between: `vascular markings are normal`."""
CAUSES = r"secondary to|due to|because(?: of)?|related to|owing to"
"""A denial of what stands before does not reach behind it; a doubt does."""
STOPS = (
    r"but|however|although|though|except|aside from|apart from|other than|with the exception|which|"
    r"otherwise|besides|"
    r"there (?:is|are|has|have)|and (?:there|the|is|are)|status post"
)
STOPS_AFTER_COMMA = (
    r"(?:the|there|heart|lungs?|stable|unchanged|again|with|consistent|likely|possibl[ey])\b|"
    r"(?:mild|small|moderate|large)\b(?![^;:]{0,80}\bor\b)"
)
"""Where the scope of a denial or a doubt ends."""
ENGLISH = files(__package__ or "").joinpath("english.txt").read_text("utf-8")
"""Words by which a text is known to be in English; those that other languages spell alike are not among
them."""
