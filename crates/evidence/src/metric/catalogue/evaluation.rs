//! What evaluations of a model on tasks, banks, texts and folds measure.

use crate::Unit;
use crate::metric::{About::*, Kind::*, Metric, row};

// A row reads as one block; the formatter would give every word a line of its own.
#[rustfmt::skip]
pub(super) const EVALUATION: &[Metric] = &[
    row("benchmark.accuracy", Proportion, Unit::One, Model, [
        "Share of the items of the tasks asked that were answered right.",
        "Pooled over the items of all tasks with right and wrong answers, by the first metric each task lists; Clopper–Pearson, 95 %. The method names tasks, items and metric.",
        "Depends on the mix of tasks; the tasks one by one stand beside it in the entry. Contamination is not looked for.",
        "812 of 2376 (arc_easy).",
    ]),
    row("benchmark.items", Count, Unit::One, Model, [
        "Items of the tasks asked.",
        "Counted.",
        "",
        "2376.",
    ]),
    row("benchmark.thresholds", Count, Unit::One, Model, [
        "Thresholds on tasks that were named before the tasks were asked.",
        "Counted over the thresholds of the case, which the signed plan carries, or of the command line.",
        "Whether a threshold is a wise one is a matter for a person.",
        "2.",
    ]),
    row("benchmark.thresholds_met", Count, Unit::One, Model, [
        "Those thresholds that the task's figure clears with its whole interval.",
        "Lower end of the 95 % interval of the named metric at or above the threshold, or, where less is better, the upper end at or below it; Clopper–Pearson for shares.",
        "Between the bounds a threshold counts neither as met nor as missed.",
        "1.",
    ]),
    row("benchmark.thresholds_missed", Count, Unit::One, Model, [
        "Those thresholds that the task's figure misses with its whole interval.",
        "Upper end of the 95 % interval of the named metric below the threshold, or, where less is better, the lower end above it.",
        "Between the bounds a threshold counts neither as met nor as missed.",
        "0.",
    ]),
    row("benchmark.worst_slice", Proportion, Unit::One, Model, [
        "Share of right answers in the slice of a task that has fewest.",
        "The worst over the slices of the tasks asked; Clopper–Pearson at 1 − 0.05/K for K slices of the task, so that all hold together at 95 %.",
        "Slices under 30 items have wide intervals and are not judged alone.",
        "11 of 40 (Age ambig).",
    ]),
    row("bias.bbq_ambiguous", Quantity, Unit::One, Model, [
        "Bias score of BBQ on ambiguous contexts, −1 to 1, 0 even.",
        "(1 − accuracy) · (2 · biased ÷ not unknown − 1); Parrish et al. 2022, page 6; bootstrap over items, 95 %.",
        "Of the categories asked, in English; answers are likelihoods of choices, not generated text.",
        "0.03.",
    ]),
    row("bias.bbq_disambiguated", Quantity, Unit::One, Model, [
        "Bias score of BBQ on disambiguated contexts, −1 to 1, 0 even.",
        "2 · biased ÷ not unknown − 1; Parrish et al. 2022, page 6; bootstrap over items, 95 %.",
        "Of the categories asked, in English; answers are likelihoods of choices, not generated text.",
        "0.01.",
    ]),
    row("bias.crows_pairs", Proportion, Unit::One, Model, [
        "Share of CrowS-Pairs in which the more stereotyping sentence is the likelier; one half is even.",
        "Each sentence scored whole from nothing; ties count as not; Nangia et al. 2020, in the form of lm-evaluation-harness; Clopper–Pearson, 95 %.",
        "The set has known flaws (Blodgett et al. 2021).",
        "905 of 1508.",
    ]),
    row("bias.largest", Quantity, Unit::One, Model, [
        "Largest bias score found, without its sign, over the sets asked.",
        "The largest of |bias.bbq_ambiguous|, |bias.bbq_disambiguated|, 2 · |bias.crows_pairs − 1/2|, |bias.winobias_gap| and |gap of Winogender|, with the interval of that score; the method names it.",
        "The largest of several moves upward by chance; sets that were not asked are not in it.",
        "0.21 (crows_pairs).",
    ]),
    row("bias.largest_allowed", Quantity, Unit::One, Model, [
        "Largest bias score that the risk management admits.",
        "Taken from the risk management file by the person answerable.",
        "The Act gives no number.",
        "0.25.",
    ]),
    row("bias.winobias_gap", Quantity, Unit::One, Model, [
        "Accuracy on WinoBias sentences with the stereotype minus against it, for the type with the larger gap.",
        "Paired by sentence, bootstrap over pairs, 95 %; Zhao et al. 2018, with the question of Winogender.",
        "Occupations of the United States, two pronouns.",
        "0.12.",
    ]),
    row("bias.winogender_agreement", Proportion, Unit::One, Model, [
        "Share of Winogender sentences answered alike whatever the pronoun.",
        "Over 240 sentences in three forms; Rudinger et al. 2018; Clopper–Pearson, 95 %.",
        "A model that always answers the same agrees with itself.",
        "201 of 240.",
    ]),
    row("calibration.brier", Quantity, Unit::One, Model, [
        "Mean squared distance of the confidence in the answer given to whether it was right.",
        "Confidence is the soft-max over the sums of the choices; bootstrap over items, 95 %; pooled over tasks.",
        "Of the choice made; not the score over all choices.",
        "0.18.",
    ]),
    row("calibration.ece", Quantity, Unit::One, Model, [
        "Expected calibration error over ten bins of equal mass.",
        "Σ share of the bin · |accuracy − confidence|; Guo et al. 2017, equation 3; bootstrap over items, 95 %; pooled over tasks.",
        "Biased upward for few items; depends on the number of bins.",
        "0.07.",
    ]),
    row("crossval.accuracy", Quantity, Unit::One, Model, [
        "Mean accuracy of a classifier head over folds and repeats.",
        "Everything fitted on training parts alone, λ chosen in inner folds; corrected resampled interval, 95 %; Nadeau and Bengio 2003.",
        "Of the head on this model's representations, or of a table; not of the model's own answers.",
        "0.752.",
    ]),
    row("crossval.folds", Count, Unit::One, Model, [
        "Folds times repeats behind `crossval.accuracy`.",
        "Counted.",
        "More repeats add no data.",
        "10.",
    ]),
    row("crossval.leaked", Count, Unit::One, Model, [
        "Held-out rows of which a copy, or another row of their group, stood in the training part.",
        "Copies by digest of the features; groups by the column named; the larger of the two counts.",
        "Near copies are not found.",
        "0.",
    ]),
    row("crossval.spread", Quantity, Unit::One, Model, [
        "Sample standard deviation of the accuracy between folds.",
        "Divisor J − 1.",
        "Not a standard error: training parts overlap.",
        "0.021.",
    ]),
    row("memorisation.exposure", Quantity, Unit::One, Model, [
        "Exposure in bits of the planted secret that stands out most.",
        "log₂ of the secrets compared − log₂ of the rank by likelihood; Carlini et al. 2019.",
        "At most log₂ of the secrets compared; of the planted secrets alone.",
        "3.2.",
    ]),
    row("memorisation.extractable", Proportion, Unit::One, Model, [
        "Share of given passages that the model continues word for word.",
        "Greedy continuation of the first tokens against what stands there, token by token; Carlini et al. 2022; Clopper–Pearson, 95 %.",
        "Of the passages given and of greedy answers; more is extractable with other prompts.",
        "3 of 500.",
    ]),
    row("memorisation.near", Proportion, Unit::One, Model, [
        "Share of given passages that the model continues nearly word for word.",
        "As `memorisation.extractable`, at an edit similarity of tokens of at least 0.9.",
        "Of the passages given and of greedy answers.",
        "9 of 500.",
    ]),
    row("model.parameters_active", Count, Unit::One, Model, [
        "Parameters that one token passes.",
        "Counted over the matrices; experts that are not chosen are left out.",
        "",
        "134515008.",
    ]),
    row("model.zeros", Proportion, Unit::One, Model, [
        "Share of the numbers of a model's matrices that are exactly zero.",
        "Counted over the matrices as they are computed; an exact count, so both bounds equal the value.",
        "Says nothing of numbers that are nearly zero.",
        "0 of 134000000.",
    ]),
    row("over_refusal.rate", Proportion, Unit::One, Model, [
        "Share of harmless questions that sound harmful which the model refused.",
        "XSTest's safe questions or a bank's; refused by the word detector, what it cannot tell counted as refused; Clopper–Pearson, 95 %.",
        "As good as the detector, whose errors are published in docs/evaluate.md.",
        "21 of 250.",
    ]),
    row("refusal.rate", Proportion, Unit::One, Model, [
        "Share of harmful questions which the model refused.",
        "XSTest's unsafe questions or a bank's; refused by the word detector, what it cannot tell counted as not refused; Clopper–Pearson, 95 %.",
        "As good as the detector, whose errors are published in docs/evaluate.md. Read it beside `over_refusal.rate`.",
        "190 of 200.",
    ]),
    row("refusal.unscored", Proportion, Unit::One, Model, [
        "Share of answers that the detector could tell neither as a refusal nor as an answer.",
        "Counted over both kinds of questions; Clopper–Pearson, 95 %.",
        "",
        "6 of 450.",
    ]),
    row("robustness.consistency", Proportion, Unit::One, Model, [
        "Share of items answered the same in every form asked.",
        "Typos, case, spaces, order of options and rewordings, each drawn from the seed; over the tasks with choices; Clopper–Pearson, 95 %.",
        "Of the forms tried; an answer may be wrong each time.",
        "120 of 200.",
    ]),
    row("robustness.worst_case", Quantity, Unit::One, Model, [
        "Mean over items of the worst score in any form asked.",
        "The unchanged form is among them.",
        "Falls with the number of forms.",
        "0.21.",
    ]),
];
