"""What figures are called on pages, and in which order they stand."""

from collections.abc import Mapping, Sequence

TASKS = {
    "zero_shot": "Zero-shot: findings from prompts alone",
    "few_shot": "Few-shot: classifiers of few training patients",
    "retrieval": "Retrieval: images and reports of the whole split",
    "grounding": "Grounding: maps of the findings' prompts against marks",
}
NAMES = {
    "auroc_macro": "AUROC, macro",
    "ap_macro": "Average precision, macro",
    "accuracy": "Accuracy, mean of findings",
    "f1_macro": "F1, macro",
    "ece": "Calibration error (lower is better)",
    "brier": "Brier score (lower is better)",
    "auroc_macro@1": "AUROC, macro, 1 shot",
    "auroc_macro@4": "AUROC, macro, 4 shots",
    "auroc_macro@16": "AUROC, macro, 16 shots",
    "auroc_macro_lpp@1": "… LP++, 1 shot",
    "auroc_macro_lpp@4": "… LP++, 4 shots",
    "auroc_macro_lpp@16": "… LP++, 16 shots",
    "accuracy@1": "Accuracy, 1 shot a class",
    "accuracy@4": "Accuracy, 4 shots a class",
    "accuracy@16": "Accuracy, 16 shots a class",
    "accuracy_lpp@1": "… LP++, 1 shot a class",
    "accuracy_lpp@4": "… LP++, 4 shots a class",
    "accuracy_lpp@16": "… LP++, 16 shots a class",
    "auroc_macro@1%": "AUROC, macro, 1 % of the patients",
    "auroc_macro@10%": "AUROC, macro, 10 % of the patients",
    "auroc_macro@100%": "AUROC, macro, all patients",
    "fine_tune_auroc_macro@1%": "… fine-tuned, 1 % of the patients",
    "fine_tune_auroc_macro@10%": "… fine-tuned, 10 % of the patients",
    "fine_tune_auroc_macro@100%": "… fine-tuned, all patients",
    "i2t_r@1": "Image to report, recall@1",
    "i2t_r@5": "Image to report, recall@5",
    "i2t_r@10": "Image to report, recall@10",
    "i2t_r@10_unique": "… of reports that belong to one study",
    "chance_r@10": "Recall@10 by chance",
    "t2i_r@1": "Report to image, recall@1",
    "t2i_r@5": "Report to image, recall@5",
    "t2i_r@10": "Report to image, recall@10",
    "i2t_p@5": "Precision@5, same findings",
    "i2t_p@10": "Precision@10, same findings",
    "i2t_p@100": "Precision@100, same findings",
    "rsum": "Sum of the six recalls (of 6)",
    "i2t_median_rank": "Median rank of the own report",
    "i2t_mean_rank": "Mean rank of the own report",
    "pointing_game": "Pointing game, macro",
    "pointing_game_center": "… of the image's middle",
    "pointing_game_chance": "… of a place drawn at random",
    "pointing_game_over_center": "… beyond the middle (difference)",
    "cnr": "Contrast to noise, without its sign",
    "cnr_signed": "Contrast to noise, with its sign",
}
UNBOUNDED = {"rsum", "i2t_median_rank", "i2t_mean_rank", "pointing_game_over_center", "cnr", "cnr_signed"}
LOWER_IS_BETTER = {"ece", "brier", "i2t_mean_rank", "i2t_median_rank"}


def in_order(names: Mapping[str, object], first: Sequence[str]) -> list[str]:
    """Known names in the page's order, then the rest."""
    return sorted(names, key=lambda name: (first.index(name) if name in first else len(first), name))
