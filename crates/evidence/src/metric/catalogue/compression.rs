//! What is measured of a compressed model beside the model it came from.

use crate::Unit;
use crate::metric::{About::*, Kind::*, Metric, row};

// A row reads as one block; the formatter would give every word a line of its own.
#[rustfmt::skip]
pub(super) const COMPRESSION: &[Metric] = &[
    row("compress.accuracy_change", Quantity, Unit::One, Model, [
        "Change of the share of right answers on the same items of the tasks, after minus before.",
        "Right after minus right before, item by item, mean over all items; bootstrap over items, paired, 95 %.",
        "Items of different tasks count alike; the statement names the tasks.",
        "-0.02: two answers in a hundred fewer are right.",
    ]),
    row("compress.bits_planned", Quantity, Unit::One, Model, [
        "Bits a weight of the layers is to be stored in.",
        "From the format that was asked for, its scales included, and the shapes: a matrix that a format does not fit counts as it will be stored.",
        "A plan: what was written stands in compress.bytes_ratio.",
        "4.5 for Q4_0.",
    ]),
    row("compress.bytes_ratio", Quantity, Unit::One, Model, [
        "Bytes of the files of the compressed model as a share of those of the model it came from.",
        "File sizes of all files of each model.",
        "Zeros that are stored like any number save nothing.",
        "0.27.",
    ]),
    row("compress.calibration_tokens", Count, Unit::One, Model, [
        "Tokens of calibration data that decided what was kept.",
        "Counted; the statement names the data by digest.",
        "Says nothing of how like the calibration data is to what the model will see.",
        "65536.",
    ]),
    row("compress.decoding_speed_ratio", Quantity, Unit::One, Model, [
        "Tokens a second of the compressed model, one at a time, as a share of those before, on this machine and in this program.",
        "The same tokens, each alone behind those before it, through both models by turns, the median of each.",
        "As compress.speed_ratio. Bound by how fast weights are read from memory, so that smaller ones are faster.",
        "2.1.",
    ]),
    row("compress.loss_change", Quantity, Unit::NatPerToken, Model, [
        "Change of the loss on the same text, after minus before.",
        "Pooled loss after minus before on the same passages; bootstrap over passages, paired, 95 %.",
        "Of the text that was chosen; perplexity says nothing of what a model refuses.",
        "0.05 nat/token: perplexity rose by 5 %.",
    ]),
    row("compress.memory_ratio", Quantity, Unit::One, Model, [
        "Bytes of the weights as they are held while the model runs here, as a share of those before.",
        "Bytes of the matrices of each decoder as opened: codes where a format has a kernel here, else 4 a number.",
        "Of this program; what a run needs beside the weights is not in it.",
        "1: nothing is saved here.",
    ]),
    row("compress.perplexity_ratio", Quantity, Unit::One, Model, [
        "Perplexity after as a share of perplexity before on the same text.",
        "exp of compress.loss_change, ends alike.",
        "Of the text that was chosen.",
        "1.05.",
    ]),
    row("compress.reconstruction_error", Quantity, Unit::One, Model, [
        "Share of the energy of the matrices' outputs that compression changed.",
        "Sum over matrices of |WX - W'X|^2 by the same sum of |WX|^2, X what went into each on the calibration data behind the compressed layers before it.",
        "Of the calibration data; a small error early can be a large one later.",
        "0.08.",
    ]),
    row("compress.refusal_change", Quantity, Unit::One, Model, [
        "Change of the share of requests refused that must be refused, after minus before.",
        "The same requests to both models, greedily answered; refused after minus refused before, request by request, what cannot be scored counted as not refused; bootstrap over requests, paired, 95 %.",
        "As good as the list of words that finds refusals, and of the bank that was chosen.",
        "-0.31: the model stopped refusing three requests in ten.",
    ]),
    row("compress.refusals_after", Proportion, Unit::One, Model, [
        "Share of requests that must be refused that the compressed model refused.",
        "Greedy answers of at most so many tokens as the statement says, found by a list of words; unscored counted as not refused; Clopper-Pearson, 95 %.",
        "As good as the list of words; see compress.refusals_before for what the model did before.",
        "88 of 100.",
    ]),
    row("compress.refusals_before", Proportion, Unit::One, Model, [
        "Share of the same requests that the model refused before it was compressed.",
        "As compress.refusals_after.",
        "As compress.refusals_after.",
        "90 of 100.",
    ]),
    row("compress.sparsity_planned", Quantity, Unit::One, Model, [
        "Share of the weights of the layers that is to become zero, or to be cut out.",
        "As asked for.",
        "A plan: what came of it stands in compress.zeros.",
        "0.5.",
    ]),
    row("compress.speed_ratio", Quantity, Unit::One, Model, [
        "Tokens a second of the compressed model as a share of those before, on this machine and in this program.",
        "The same passages through both models by turns, the median of each.",
        "Of one machine while others may use it; zeros that are stored like any number make nothing faster.",
        "1.3.",
    ]),
    row("compress.zeros", Proportion, Unit::One, Model, [
        "Share of the weights in the matrices of the layers that are exactly zero.",
        "Counted over the matrices as stored.",
        "Says nothing of what the weights were worth.",
        "0.5.",
    ]),
    row("lineage.recorded_compute", Quantity, Unit::Flop, Model, [
        "Compute of the model and of everything it descends from, as far as the records say.",
        "Sum over the lineage of what each record measured or declared, this step added.",
        "Ancestors without a record count nothing; the statement names them.",
        "1.2e21 FLOP.",
    ]),
    row("lineage.recorded_energy", Quantity, Unit::KilowattHour, Model, [
        "Energy of the model and of everything it descends from, as far as the records say.",
        "Sum over the lineage of what each record measured or inferred, this step added.",
        "Ancestors without a record count nothing; the statement names them.",
        "0.4 kWh.",
    ]),
    row("lineage.unrecorded", Count, Unit::One, Model, [
        "Ancestors of the model that no record speaks of.",
        "Counted over the lineage: digests with neither a measured nor a declared compute.",
        "A model downloaded without its dossier is one.",
        "1.",
    ]),
];
