//! What is measured of heads that tell classes, and of penalties whose weight is chosen.

use crate::Unit;
use crate::metric::{About::*, Kind::*, Metric, row};

// A row reads as one block; the formatter would give every word a line of its own.
#[rustfmt::skip]
pub(super) const FITTED: &[Metric] = &[
    row("classify.accuracy", Proportion, Unit::One, Model, [
        "Share of held-out texts of which the head told the class.",
        "The likeliest class, of equals the first; Wilson, 95 %.",
        "Read it beside `classify.baseline`: a large class alone makes it high.",
        "74 of 100.",
    ]),
    row("classify.baseline", Proportion, Unit::One, Model, [
        "Share of held-out texts that are of the class which is the largest in training.",
        "What telling that class of every text comes to; Wilson, 95 %.",
        "",
        "70 of 100.",
    ]),
    row("classify.classes", Count, Unit::One, Model, [
        "Classes that the head tells.",
        "Counted over the names of all rows, held out or not.",
        "",
        "2.",
    ]),
    row("classify.compute", Quantity, Unit::Flop, Run, [
        "Floating-point operations of telling classes of held-out texts and of the folds.",
        "As `train.compute`, training of the folds included.",
        "Not part of the compute of the model.",
        "1.2e12.",
    ]),
    row("classify.fold_accuracy", Proportion, Unit::One, Model, [
        "Share of training texts of which a head that never saw them told the class, over K folds.",
        "Pooled over the folds, each text once; Wilson, 95 %, which takes the folds for one model.",
        "Training parts overlap, so the interval is somewhat narrow. Of the recipe, not of the weights that are kept.",
        "655 of 900.",
    ]),
    row("classify.fold_macro_f1", Quantity, Unit::One, Model, [
        "Macro F1 over the pooled folds.",
        "As `classify.macro_f1`.",
        "No interval.",
        "0.66.",
    ]),
    row("classify.fold_spread", Quantity, Unit::One, Model, [
        "Sample standard deviation of the accuracy between folds.",
        "Divisor K − 1.",
        "Not a standard error: training parts overlap.",
        "0.02.",
    ]),
    row("classify.macro_f1", Quantity, Unit::One, Model, [
        "Mean over classes of the harmonic mean of precision and recall on held-out texts.",
        "2·k ÷ (texts of the class + texts told to be of it), mean over the classes that stand there or were told.",
        "No interval; a class of few texts counts as much as a large one.",
        "0.68.",
    ]),
    row("classify.train_loss", Quantity, Unit::One, Run, [
        "Training loss at the end, in nats a text.",
        "Cross-entropy over the classes, mean of the last tenth of the steps, before each step.",
        "Of texts that were trained on.",
        "0.41.",
    ]),
    row("classify.worst_recall", Proportion, Unit::One, Model, [
        "Share told right in the class that has fewest told right.",
        "The worst over the classes with held-out texts; Wilson at 1 − 0.05/K for K classes, so that all hold together at 95 %.",
        "Classes under 30 texts have wide intervals.",
        "12 of 30 (bad).",
    ]),
    row("lambda.compute", Quantity, Unit::Flop, Run, [
        "Floating-point operations of choosing the weight of a penalty.",
        "As `train.compute`, over all fits with their scoring.",
        "Not part of the compute of the model.",
        "3e13.",
    ]),
    row("lambda.fits", Count, Unit::One, Run, [
        "Trainings in which the weight of a penalty was chosen.",
        "outer · (inner · candidates + 1) + inner · candidates; Varma and Simon 2006.",
        "",
        "57.",
    ]),
    row("lambda.loss", Quantity, Unit::One, Run, [
        "Mean loss of the outer folds, each with the weight that its inner folds chose, in nats a token, or a text where classes are told.",
        "No text is scored that had a say in what was chosen; the interval is the smallest and largest fold.",
        "An estimate of the recipe with its choice, not of the weights that are kept.",
        "3.1.",
    ]),
    row("lambda.value", Quantity, Unit::One, Run, [
        "Weight of the penalty that inner folds over all training documents chose.",
        "The candidate of least mean loss, of equals the first.",
        "The largest or smallest candidate says that better ones may lie beyond.",
        "0.001.",
    ]),
];
