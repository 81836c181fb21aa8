"""The words by which a report in English names findings and what is not normal.

Patterns are matched in small letters with hyphens made spaces. Every repetition in them is bounded.
"""

FINDINGS: tuple[str, ...] = (
    "atelectasis",
    "cardiomegaly",
    "consolidation",
    "edema",
    "enlarged cardiomediastinum",
    "fracture",
    "lung lesion",
    "lung opacity",
    "no finding",
    "pleural effusion",
    "pleural other",
    "pneumonia",
    "pneumothorax",
    "support devices",
)
"""The 14 of CheXpert (Irvin et al., AAAI 2019), by its names."""
ABNORMALITY = "abnormality"
"""Anything else that is not normal: it has no label of its own, but rules out `no finding`."""
_GAP = r"(?: (?!and |with |normal|aort|pulmonary|lung)[a-z0-9]+){0,4} "
_LARGE = r"(?:enlarged|enlargement|prominent|prominence|increased|large|generous)"
_HEART = (
    r"(?:heart|cardiac(?: silhouette| shadow| contour)?|cardiomediastinal silhouette|"
    r"cardiopericardial silhouette)"
)
_PLEURA = r"(?:pleural|pleuro ?parenchymal|pleura)"
TERMS: dict[str, tuple[str, ...]] = {
    "atelectasis": (
        r"(?:micro)?atelecta\w*",
        r"(?:lobar|lung|lobe|segmental|subsegmental) collapse",
        r"collapse of the(?: \w+){0,3} lo(?:be|bes)",
        r"collapsed (?:lung|lobe)",
    ),
    "cardiomegaly": (
        r"cardiomegaly",
        rf"{_LARGE} (?:heart|cardiac)(?: size| silhouette| shadow)?",
        rf"{_HEART}{_GAP}{_LARGE}(?: in size)?",
        rf"{_HEART} {_LARGE}",
        r"(?:heart|cardiac) size is borderline",
        r"borderline (?:heart|cardiac)(?: size| enlargement)?",
        r"cardiac decompensation",
    ),
    "consolidation": (r"consolidat\w+",),
    "edema": (
        r"(?<!tissue )o?edema(?:tous)?",
        r"(?:heart|cardiac|left ventricular) failure",
        r"chf",
        r"(?:vascular|pulmonary|venous)(?: vascular| venous)? (?:congestion|engorgement)",
        r"(?:fluid|volume) overload",
        r"kerley \w+",
        r"cephalization",
        r"vascular(?:ity| prominence)(?: is| are| remains)?(?: mildly)? (?:prominent|engorged|congested|"
        r"increased)|vascular prominence",
        r"(?:prominen\w+|engorge\w+|congestion) of the(?: central)?(?: pulmonary)? vascula\w+",
    ),
    "enlarged cardiomediastinum": (
        rf"{_LARGE} (?:mediastin\w+|cardiomediastin\w+)",
        r"(?:widen\w*|wide) (?:of the )?(?:superior )?(?:cardio)?mediastin\w+",
        rf"(?:cardio)?mediastin\w+(?: contours?| silhouette| structures)?(?: is| are)? (?:widen\w+|"
        rf"{_LARGE})",
        r"(?:prominence|widening|enlargement|fullness) of the(?: \w+){0,2} mediastin\w+",
        r"(?:mediastinal|paratracheal) (?:widening|enlargement|prominence|fullness)|mediastinal mass",
    ),
    "fracture": (r"fractur\w*", r"compression deformit\w+"),
    "lung lesion": (
        r"nodul\w+",
        r"micronodul\w+",
        r"mass(?:es)?(?: ?like)?",
        r"(?:lung|pulmonary|cavitary|parenchymal|focal|lobe|neoplastic|metastatic|malignant) lesions?",
        r"tumors?",
        r"neoplas\w+",
        r"carcinomas?",
        r"metastas[ei]s",
        r"metastatic disease",
        r"malignan\w+",
    ),
    "lung opacity": (
        r"opaci\w+",
        r"infiltrat\w+",
        r"air ?space (?:disease|process|densit\w+)",
        r"(?:patchy|hazy|streaky|linear|focal|retrocardiac|basilar|airspace|ill defined|increased|"
        r"lung)(?: \w+){0,2} densit\w+",
        r"(?:nodular|lobe|lobar|lingular?|base|basilar) densit\w+",
        r"densit\w+ (?:in|within|at|of|over|overlying|projecting)",
        r"haziness",
        r"ground glass",
        r"air bronchograms?",
    ),
    "pleural effusion": (
        r"(?<!pericardial )(?<!joint )effusions?",
        r"pleural fluid",
        r"pleural reaction",
        r"hydropneumothora\w+",
        r"hemothora\w+",
    ),
    "pleural other": (
        rf"{_PLEURA}(?: \w+){{0,3}} (?:thickening|scar\w*|plaques?|fibrosis|calcifications?|disease)",
        r"thickening of the(?: \w+){0,2} pleura",
        r"(?:apical|biapical)(?: \w+){0,2} (?:thickening|capping|caps?)",
        r"fibrothora\w+",
    ),
    "pneumonia": (
        r"(?:broncho)?pneumonia\w*",
        r"pneumonitis",
        r"(?<!granulomatous )(?<!tuberculous )(?<!prior )(?<!old )infect\w+",
    ),
    "pneumothorax": (r"(?:hydro)?pneumothora\w+", r"pneumothorac\w+"),
    "support devices": (
        r"catheters?",
        r"(?:chest|endotracheal|et|ng|nasogastric|enteric|feeding|tracheostomy|gastric|og|orogastric|"
        r"thoracostomy) tubes?",
        r"tubes?(?: and| or|,) lines?",
        r"lines?(?: and| or|,) tubes?",
        r"tracheostomy",
        r"(?:central|venous|picc|jugular|subclavian|ij|arterial|port)(?: \w+){0,2} lines?",
        r"picc\w*",
        r"port(?: ?a ?cath\w*| catheter)?",
        r"(?:medi|chemo)ports?",
        r"portacath\w*",
        r"pace ?makers?|pacers?",
        r"pacing (?:leads?|wires?|device)",
        r"aicd|icd",
        r"(?:cardioverter )?defibrillators?",
        r"(?:prosthe\w+|mechanical|artificial)(?: \w+)? valves?|valve (?:replacement|prosthes\w+)|"
        r"valvular prosthes\w+",
        r"(?:shunt|pleural|drainage) (?:tubing|catheter)|drains?",
        r"loop recorder|stimulator|generator|devices?|(?:bone |humeral |head )anchors?",
        r"(?<!monitor )(?<!monitoring )(?<!ekg )(?<!ecg )leads?",
        r"tip (?:in|at|over|projects?|projecting|overl\w+|within|approximating)(?: \w+){0,5} (?:svc|"
        r"atri\w+|cav\w+|carina|stomach)",
        r"(?:\w+ )?stents?",
        r"(?:orthopedic|spinal|fusion|fixation|surgical|metallic) (?:hardware|rods?|plates?|screws?)",
        r"hardware",
    ),
}
"""Finding -> what names it."""
OTHER_ABNORMAL: tuple[str, ...] = (
    r"abnormal(?:it\w+|ly)?",
    r"scolio\w+|kypho\w+|levo\w*scolio\w+|dextro\w*scolio\w+|lordo\w+|curvature",
    r"degenerat\w+|osteophyt\w*|spondylo\w+|spondylitis|spurring|spurs?|arthrit\w+|arthro\w+|osteoarthr\w+|"
    r"dish",
    r"osteopeni\w+|osteoporo\w+|demineraliz\w+|hyperostosis|sclero\w+|deminerali\w+|syndesmophyt\w+",
    r"granulom\w+|calcif\w+|calcinosis",
    r"scar(?:s|ring|red)?|cicatri\w+|fibro\w+",
    r"emphysem\w+|copd|obstructive(?: \w+){0,2} disease|bull(?:a|ae|ous)|blebs?|air trapping|hyperlucen\w+|"
    r"lucen\w+",
    r"hyper ?inflat\w+|hyper ?expan\w+|hyper ?aerat\w+|over ?inflat\w+|overexpan\w+|hyperexten\w+",
    r"hypo ?inflat\w+|hypo ?expan\w+|hypo ?aerat\w+|hypoventilat\w+|(?:low|small|decreased|diminished|"
    r"reduced)(?: \w+){0,1} volumes?",
    r"volumes? (?:is |are |remain |remains )?(?:low|small|decreased|diminished|reduced)|under ?inflat\w+",
    r"(?:low|poor|shallow|suboptimal|decreased) inspirat\w+|inspiratory (?:effort|volumes?) (?:is |"
    r"are )?(?:low|poor|shallow)|expiratory",
    r"tortuo\w+|ectatic|ectasia|unfold\w+|uncoil\w+|aneurysm\w*|atheroscler\w+|atheromat\w+|"
    r"arterioscler\w+",
    r"sternotom\w+|cabg|bypass|clips?|sutures?|staples?|wires?|cerclage|post ?operative|post ?surgical|"
    r"surg(?:ery|ical)",
    r"\w+(?:ectomy|ectomies|otomy|plasty)|resect\w+|transplant\w*|implants?|prosthes\w+|fusion|anchors?|"
    r"bullet|shrapnel|embol\w+",
    r"foreign (?:body|bodies|object)|metallic|tubes?|electrodes?|bb|pellets?|coils?|buckshot|piercing\w*|"
    r"jewelry",
    r"hernia\w*|eventrat\w+|elevat\w+|flatten\w+|tenting|tented|scallop\w+|lobulat\w+",
    r"blunt\w*|thicken\w*|enlarg\w+|widen\w+|prominen\w+|dilat\w+|distend\w+|distention|full(?:ness)?",
    r"deform\w+|irregular\w*|wedg\w+|height loss|loss of height|disloc\w+|subluxa\w+|separation|pectus|"
    r"displac\w+|avulsi\w+",
    r"interstitial|markings|cuffing|reticul\w+|coarse\w*|crowd\w+|streaky|patchy|hazy|indistinct\w*|"
    r"haz[ey]\w*",
    r"congest\w+|engorg\w+|redistribut\w+|vascular(?:ity)? (?:is |are )?(?:increased|prominent)|"
    r"hypertension",
    r"cavit(?:y|ary|ation|ies)|cysts?|cystic|bronchiecta\w+|bronchi(?:tis|olitis)|bronchitic|sarcoid\w*|"
    r"tubercul\w+|infect\w+|abscess\w*",
    r"diseases?|process|patholog\w+",
    r"adenopath\w+|lymphadenopath\w+|thyro\w+|goiter|shift\w*|deviat\w+|obscur\w+|silhouetting",
    r"chronic|senescent|age related|old|remote|healed|healing|prior injur\w+|post ?traumatic|sequela\w*|"
    r"residual",
    r"pneumoperitoneum|free(?: \w+)? air|pneumomediastinum|subcutaneous|gynecomastia|gallstones?|"
    r"cholelith\w+",
    r"lesions?|densit\w+|shadows?|fat pads?|pericardial (?:effusion|fat|cyst)|nipples?|azygos|"
    r"cervical ribs?|bifid",
    r"asymmetr\w+|mild(?:ly)?|moderate(?:ly)?|severe(?:ly)?|borderline|slight(?:ly)?|decreased|loss|"
    r"worsen\w*|increas\w+",
    r"limit(?:ed|s the|s evaluation|ing)|technically|rotat\w+|suboptimal\w*|underpenetrat\w+|motion|"
    r"artifacts?|exclu(?:ded|sion) (?:from|of)",
    r"follow ?up|further evaluation|ct (?:scan )?(?:of the chest )?(?:is )?recommended|recommend\w*|"
    r"correlat\w+",
)
"""What else a normal chest does not have, devices, scars, age and poor films among it."""
NORMAL: dict[str, tuple[str, ...]] = {
    "cardiomegaly": (
        r"heart",
        r"cardiac",
        r"cardiomediastin\w+",
        r"cardiopericardial",
        r"cardio ?vascular",
    ),
    "enlarged cardiomediastinum": (r"mediastin\w+", r"cardiomediastin\w+"),
    "lung opacity": (r"lungs?(?! (?:volumes?|apices|bases))", r"lung fields?"),
    "pleural effusion": (r"pleural spaces?", r"costophrenic (?:angles?|sulci|sulcus)", r"cp angles?"),
    "fracture": (r"ribs?",),
}
"""Finding -> what is called normal when the finding is absent."""
