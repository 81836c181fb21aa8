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
_NORMAL = r"normal|unremarkable|clear|intact|negative|sharp|preserved|midline|patent|within normal limits"
CALLED_NORMAL = (
    r"normal(?:ly)?|unremarkable|clear|intact|within (?:\w+ )?limits|well (?:expanded|aerated|inflated)|"
    r"negative|"
    r"not enlarged|sharp|preserved|upper limits? of normal|midline|patent|not (?:\w+ )?(?:enlarged|"
    r"widened)|no acute|without acute"
)
NOT_NORMAL = (
    rf"\b(?:not|never|no longer|nearly|almost|near|less than)(?: \w+){{0,2}} (?:{_NORMAL})\b",
    rf"\b(?:may|might|could|possibly|possible|probably|likely|questionabl[ey])(?: \w+){{0,3}} "
    rf"(?:{_NORMAL})\b",
)
"""What is not called normal, and what is in doubt."""
ALONE_NORMAL = (
    r"(?:(?:this|it) is |the )?(?:an? )?(?:(?:essentially|grossly|completely|entirely|overall) )?"
    r"(?:normal|unremarkable|negative|clear|within normal limits|no abnormality)"
    r"(?: (?:study|exam\w*|chest|cxr|film|radiographs?|x ray|appearances?|report|result|findings|ct|scan))?"
)
"""A sentence of no more is about the whole picture."""
_LESS = r"worsening|worse|worsened|progression|enlargement|growth|increase|decrease|improvement|reduction"
_HEART = r"(?:the )?(?:heart|cardi\w+|mediastin\w+|hil\w+|pulmonary (?:art|vas)\w+|aort\w+)"
NOT_NEGATION = (
    r"no (?:\w+ ){0,4}(?:change|changes|difference)(?: \w+)? (?:in|of|from|since|to)",
    rf"(?:no|without|not)(?: \w+){{0,4}} (?:{_LESS})(?: \w+)? (?:in|of|from|since|to)(?! {_HEART})",
    r"no (?:\w+ ){0,3}(?:change|changes)",
    r"(?:not|no) (?:\w+ )?(?:changed|increased|decreased|worse|worsened|improved|progressed|larger|smaller)|"
    r"not only",
    r"no comparison|no prior\w*|no previous",
    r"without (?:\w+ ){0,3}(?:change|changes|worsening|improvement|progression)",
    r"(?:no|without) (?:\w+ )?doubt",
    r"(?:no|not|nothing) (?:more|less) than|nothing (?:but|except|other than)",
)
_GONE = r"resol\w+|clear(?:ed|ing|s|ance)?|disappear\w+|gone"
_PARTLY = (
    r"not|never|partial(?:ly)?|partly|near(?:ly)?|almost|incomplete(?:ly)?|mostly|largely|only|"
    r"substantial(?:ly)?|"
    r"significant(?:ly)?|for the most part|virtual(?:ly)?|essential(?:ly)?|mainly|slowly|somewhat"
)
_BE = r"(?:has|have|had|having|is|are|was|were|did|does|do|been|yet)"
NOT_GONE = (
    rf"(?:{_BE} ){{0,2}}(?:{_PARTLY})(?: (?!lungs?\b)\w+){{0,2}}(?: |, )(?:{_GONE})(?: of)?(?! (?:lung|"
    rf"the lung|cp|costo))",
    r"(?:no|without|partial|incomplete|near|nearly|almost|lack of|absence of)(?: \w+){0,3} "
    r"(?:resolution|clearing|clearance)(?: of| in)?",
    r"(?:fail(?:s|ed|ing|ure)?|yet|slow) to (?:\w+ )?(?:resolve|clear)",
    r"un(?:resolved|cleared)|non ?resolving",
)
"""What is said to be still there, though it sounds as if it were gone."""
UNTIL_GONE = (
    r"(?:until|to|pending|for|ensure|document|confirm)(?: \w+){0,4} (?:resolution|clearing|clearance)(?: of)?"
)
"""What is to be looked at again: whether it is there now is not said."""
GONE_BEHIND = (
    r"(?:now |since |completely |fully |entirely |has |have )?(?:resolved|cleared|disappeared|gone)"
    r"(?= ?(?:$|[,;:]|(?:since|in the interval|compared|on|from|after|with|without|now|and)\b))"
)
"""Behind what is gone, with no word to be about but the one before."""
PAST = (
    r"history significant for|(?:has |have )?had(?= (?:a )?(?:pneumonia|infect|chf|effusion))|"
    r"(?:histor(?:y|ies)|diagnosis|treatment|therapy) (?:of|for)|(?:treated|admitted|hospitalized) (?:for|"
    r"with)|"
    r"(?:prior|previous|past|remote|recent|treated|childhood)(?= (?:episode|bout|pneumonia|edema|"
    r"infect\w+|chf|"
    r"heart failure|pneumothora\w+|effusion))"
)
"""Of what follows, nothing is said of today."""
LIMITS = (
    r"(?<!consistent )(?<!compatible )(?<!keeping )(?<!associated )(?<!line )with|"
    r"and (?=(?:small|tiny|trace|minimal|mild|moderate|large|left|right|bilateral)\b)"
)
"""Behind which a denial may end or not: `no pneumothorax with effusion`."""
UNLIKELY = r"unlikely|not likely|improbable|doubtful"
"""Doubt about what follows, near denial of what stands before."""
_SEEN = (
    r"seen|identified|present|evident|visualized|visible|noted|demonstrated|appreciated|detected|apparent|"
    r"evaluated|"
    r"assessed"
)
HEDGED_AFTER = (
    r"(?:cannot|can not|can t|could not|not|difficult to|unable to|impossible to) (?:be )?(?:\w+ "
    r")?(?:exclude|"
    r"excluded|rule out|ruled out)",
    r"(?:is|are|be) (?:not )?(?:\w+ )?(?:possible|suspected|questioned|considered|suggested|"
    r"a consideration)",
    r"(?:is|are) not (?:\w+ )?(?:excluded|ruled out)",
    r"no (?:(?!new|or)\w+ )?(?:worsening|increasing|enlarging|progressi\w+)(?= \w)",
    r"if (?:any|present|at all|there is any|real)",
    r"(?:is|are|seems?|appears?|felt|considered|thought)(?: to be)?(?: much| far| somewhat)? less likely|"
    r"less likely(?= ?(?:$|[,;:]))|less likely given|(?:is|are) (?:questionable|uncertain|equivocal|"
    r"unclear|doubtful)",
    rf"(?:(?:is|are|was|were) )?not (?:well|clearly|adequately|optimally|fully|completely|entirely|"
    rf"reliably) (?:{_SEEN})",
)
"""Doubt about what stands before, or behind."""
HEDGED = (
    r"likely than|favou?red over|"
    r"possibl[ey]|possibilit\w+|questionabl[ey]|question of|suspicious|suspected|suspicion|suspect|"
    r"suggest\w*|concern\w*|"
    r"worrisome|may|might|could|versus|vs|equivocal|uncertain|indeterminate|perhaps|potential(?:ly)?|"
    r"consider\w*|"
    r"differential|less likely|cannot|can not|unable to|rule out|r o|question|alternatively|exclude|"
    r"evaluate for|"
    r"presum\w+|if clinically|"
    r"query|difficult to|whether|doubtful|debatable|or possibly|as opposed to"
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
    r"unlikely|excluded)|"
    r"(?:(?:has|have) been |(?:was|were) )?removed|ruled out"
)
CALLED_NORMAL_AFTER = (
    r"within (?:\w+ )?limits|(?:is|are|appears?|remains?)(?: \w+)? (?:normal|"
    r"unremarkable)|(?:at )?(?:the )?upper limits? of normal"
)
"""Behind a term, with no comma between: `vascular markings are normal`."""
CAUSES = (
    r"secondary to|due to|because(?: of)?|related to|owing to|after|following|despite|in spite of|in the "
    r"setting of|"
    r"in addition to|along with|together with|accompanied by"
)
"""A denial of what stands before does not reach behind it; a doubt does."""
STOPS = (
    r"but|however|although|though|while|whereas|except|aside from|apart from|other than|with the "
    r"exception|which|"
    r"otherwise|besides|"
    r"there (?:is|are|has|have)|and (?:there|the|is|are|an?|stable|unchanged|persistent|residual|"
    r"improv\w+|worsen\w+|"
    r"increas\w+|decreas\w+|enlarging)|status post|now with|"
    r"(?<!consistent )(?<!compatible )(?<!keeping )(?<!associated )with (?=(?:an?|small|tiny|trace|"
    r"minimal|mild|moderate|"
    r"large|new|stable|unchanged|persistent|residual|increas\w+|decreas\w+|improv\w+|worsen\w+)\b)"
)
STOPS_AFTER_COMMA = (
    r"(?:the|there|now|today|currently|only|just|heart|lungs?|stable|unchanged|again|with|consistent|"
    r"likely|possibl[ey])\b|"
    r"(?:mild|small|moderate|large)\b(?![^;:]{0,80}\bor\b)"
)
"""Where the scope of a denial or a doubt ends."""
