"""The words by which a report in English denies, doubts, and calls things normal.

Patterns are matched as those of the lexicon: small letters, no hyphens, every repetition bounded.
"""

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
ENGLISH = (
    "the is are or large were be been of not at to from with without and there this that these it its by for "
    "have "
    "within seen noted identified clear intact unremarkable unchanged mild mildly small moderate left "
    "right bilateral bilaterally lower upper middle lung lungs heart size chest effusion effusions "
    "disease process finding findings silhouette silhouettes limits pulmonary bones bone bony osseous "
    "spine thoracic view views change changes cardiopulmonary abnormality abnormalities opacity opacities "
    "airspace vasculature vascularity cardiomegaly degenerative since prior previous comparison compared "
    "radiograph radiographs soft tissue tissues ribs rib which may might could would should dated "
    "technique submitted obtained performed exam study upright line lines removal both volumes infiltrate "
    "infiltrates again definite appear appears appearing appearance grossly cardiomediastinal calcified "
    "low scarring nodule nodules space spaces otherwise visible visualized enlarged enlargement enlarging "
    "expanded hyperexpanded costophrenic masses well suggest suggests suggesting suggestive density "
    "densities lymph fractures bibasilar bibasal basilar midlung clips surgical further suspicious "
    "streaky patchy overlying cm mm crowding versus subsegmental midline but hernia hyperinflated "
    "blunting displaced show shows over than old age some thickening secondary if borderline due slightly "
    "also throughout similar greater vague recommended recommend under widening loss associated consists "
    "history underlying known however any shoulder wall represents represent representing improved near "
    "overlies overlie failure overt remain remains along measuring below above given breast scar top head "
    "injury healed after before between during early few first most more less likely likelihood probable "
    "probably possible possibly worsened worsening increase increased decrease decreased resolved stomach "
    "neck device devices leads pacemaker carina endotracheal enteric catheter placed tracheostomy "
    "hemidiaphragm tortuous calcifications atherosclerotic granulomas cardiophrenic collapse wires "
    "sternal new none nothing cannot excluded unlikely consistent compatible concerning concern followup "
    "hazy haziness shadow shadows sharp angles angle edge field fields breath sided aspect end ends "
    "course courses projects projecting terminates had shallow inspiration poor quite very"
)
"""Words by which a text is known to be in English; those that other languages spell alike are not among
them."""
