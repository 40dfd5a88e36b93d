//! The rows. Kept sorted by id, so that a search is an eye's work.

use super::{About::*, Kind::*, Metric, row};
use crate::Unit;

pub const CATALOGUE: &[Metric] = &[
    row("budget.share_used", Quantity, Unit::One, Run, [
        "The largest share of any declared budget that the run used.",
        "Spent ÷ cap for each budget of the case, the largest taken; spending includes steps repeated after a crash.",
        "Says nothing of what no budget was declared for.",
        "0.42: the tightest budget was 42 % used.",
    ]),
    row("corpus_sample.manual", Proportion, Unit::One, Dataset, [
        "Share of a random corpus sample that people found free of illegal or harmful content.",
        "Manual sampling of at least 4,000 items, TC260-003 section 8.2.",
        "The figures of the final GB/T 45652 were not read.",
        "3,900 of 4,000.",
    ]),
    row("corpus_sample.technical", Proportion, Unit::One, Dataset, [
        "Share of a technical corpus sample that classifiers found free of illegal or harmful content.",
        "Keyword and model screening of at least 10 % of the corpus, TC260-003 section 8.2.",
        "As good as the screening; see the manual sample.",
        "99,000 of 100,000.",
    ]),
    row("data.bytes", Count, Unit::Byte, Dataset, [
        "Size of the corpus as read.",
        "Sum of file sizes.",
        "Stored size, not characters.",
        "812345 byte.",
    ]),
    row("data.documents", Count, Unit::One, Dataset, [
        "Documents in the corpus: the unit of splitting, folding and resampling.",
        "One document a file, or a blank-line separated section where the case says so.",
        "Not a count of authors or sources.",
        "64.",
    ]),
    row("data.exact_duplicates", Proportion, Unit::One, Dataset, [
        "Share of documents whose bytes equal an earlier document's.",
        "SHA-256 of each document; the first of equals is the original.",
        "Near duplicates are not found by this.",
        "0 of 64.",
    ]),
    row("data.held_out_leak", Proportion, Unit::One, Dataset, [
        "Share of held-out documents that also stand, byte for byte, in the training part.",
        "SHA-256 of each document on both sides of the split.",
        "Paraphrase and partial overlap are not found by this.",
        "0 of 7.",
    ]),
    row("data.licence_declared", Proportion, Unit::One, Dataset, [
        "Share of files for which the case declares a licence.",
        "Counted over the files of `[[data]]`.",
        "Whether the licence is true is a matter for a person.",
        "64 of 64.",
    ]),
    row("data.source_declared", Proportion, Unit::One, Dataset, [
        "Share of files for which the case declares a source.",
        "Counted over the files of `[[data]]`.",
        "Whether the source is true is a matter for a person.",
        "64 of 64.",
    ]),
    row("data.tokens", Count, Unit::One, Dataset, [
        "Tokens of the corpus under the model's own tokenizer.",
        "Byte-level BPE trained on the training part, each document encoded alone.",
        "Another tokenizer gives another count.",
        "190211.",
    ]),
    row("evaluate.compute", Quantity, Unit::Flop, Run, [
        "Model FLOP spent on scoring.",
        "Forward passes by the architecture's exact count, docs/metrics convention of `train.compute`.",
        "Not counted by the EU towards training compute.",
        "3.1e11 FLOP.",
    ]),
    row("heldout.accuracy", Proportion, Unit::One, Model, [
        "Share of held-out positions whose next token is the model's first choice.",
        "Teacher forcing, argmax, every position after the first of each window; interval by bootstrap over documents.",
        "Tokens are not independent: the interval resamples documents, not tokens.",
        "8,120 of 21,000.",
    ]),
    row("heldout.loss", Quantity, Unit::NatPerToken, Model, [
        "Mean cross-entropy of the next token on held-out documents.",
        "Sum of negative log-likelihoods ÷ tokens, in f64; interval by seeded bootstrap over documents, 95 %.",
        "Depends on the tokenizer; compare only models that share it.",
        "4.21 nat/token.",
    ]),
    row("heldout.perplexity", Quantity, Unit::One, Model, [
        "Perplexity of held-out documents, per token.",
        "exp of `heldout.loss`, ends of the interval alike.",
        "Depends on the tokenizer.",
        "67.4.",
    ]),
    row("kfold.compute", Quantity, Unit::Flop, Run, [
        "Model FLOP spent on cross-validation.",
        "As `train.compute`, over all folds.",
        "Exploratory runs are not counted by the EU towards training compute.",
        "8e11 FLOP.",
    ]),
    row("kfold.folds", Count, Unit::One, Run, [
        "Folds of the cross-validation.",
        "Documents dealt into K disjoint, covering folds by seeded permutation; checked, not assumed.",
        "",
        "3.",
    ]),
    row("kfold.loss", Quantity, Unit::NatPerToken, Run, [
        "Mean held-out loss over the folds.",
        "Each document is held out once; interval is the smallest and largest fold.",
        "Of the small configuration named in the entry, not of the released model.",
        "5.02 nat/token.",
    ]),
    row("kfold.loss_spread", Quantity, Unit::NatPerToken, Run, [
        "Sample standard deviation of the folds' held-out losses.",
        "Over K folds, divisor K − 1.",
        "Folds share training data, so this understates the variance of a fresh draw.",
        "0.08 nat/token.",
    ]),
    row("lineage.compute", Quantity, Unit::Flop, Model, [
        "Training compute accumulated along the model's ancestry.",
        "Own `train.compute` and that of each declared parent, summed; unknown parents make it missing.",
        "Declared parents count as declared.",
        "1.6e12 FLOP.",
    ]),
    row("lineage.modification_share", Quantity, Unit::One, Model, [
        "Compute of the modification as a share of the original model's training compute.",
        "`train.compute` ÷ declared compute of the parent; interval outward.",
        "Missing when the model has no parent or the parent's compute is unknown.",
        "0.02.",
    ]),
    row("model.parameters", Count, Unit::One, Model, [
        "Trained parameters.",
        "Counted over the tensors of the weight file; a tied embedding counts once.",
        "",
        "3671296.",
    ]),
    row("plan.carbon", Quantity, Unit::GramCo2e, Run, [
        "Predicted location-based emissions of the whole case.",
        "Predicted energy × grid intensity of the declared country and year.",
        "Operational only: no hardware manufacture.",
        "0.6 gCO2e.",
    ]),
    row("plan.compute", Quantity, Unit::Flop, Run, [
        "Predicted model FLOP of training.",
        "The architecture's exact count × planned tokens.",
        "Training only; folds and scoring are planned beside it.",
        "1.6e12 FLOP.",
    ]),
    row("plan.energy", Quantity, Unit::KilowattHour, Run, [
        "Predicted energy of the whole case.",
        "Predicted time × the power model of the hardware found.",
        "Modelled where no counter is readable.",
        "0.002 kWh.",
    ]),
    row("plan.memory", Quantity, Unit::Byte, Run, [
        "Predicted peak resident memory of training.",
        "Parameters, gradients, optimiser state and activations by formula, with the stated margin.",
        "A formula, not a reservation.",
        "6e8 byte.",
    ]),
    row("plan.time", Quantity, Unit::Second, Run, [
        "Predicted wall time of the whole case.",
        "Predicted FLOP ÷ (throughput probed on this machine), widened.",
        "A busy machine takes longer.",
        "120 s.",
    ]),
    row("prune.loss_change", Quantity, Unit::NatPerToken, Model, [
        "Held-out loss after pruning minus before.",
        "Same documents, paired bootstrap over documents, 95 %.",
        "",
        "0.05 nat/token.",
    ]),
    row("prune.sparsity", Proportion, Unit::One, Model, [
        "Share of prunable weights that are exactly zero after pruning.",
        "Counted over the pruned matrices as stored; an exact count, so both bounds equal the value.",
        "Zeros save compute only where a sparse kernel runs.",
        "1,500,000 of 3,000,000.",
    ]),
    row("quantize.bytes_ratio", Quantity, Unit::One, Model, [
        "Size of the quantised file as a share of the f32 file.",
        "File sizes.",
        "",
        "0.27.",
    ]),
    row("quantize.loss_change", Quantity, Unit::NatPerToken, Model, [
        "Held-out loss of the quantised model minus that of the model it was made from.",
        "Same documents, paired bootstrap over documents, 95 %; the quantised file read back and dequantised.",
        "",
        "0.0004 nat/token.",
    ]),
    row("record.entries", Count, Unit::One, Run, [
        "Entries of the log when the decision was taken.",
        "Size of the signed checkpoint.",
        "",
        "14.",
    ]),
    row("record.gaps", Count, Unit::One, Run, [
        "Gaps in observation that the log records: crashes, lost sensors, resumed work.",
        "Counted over the run's entries.",
        "What the log itself could not see is not in it.",
        "0.",
    ]),
    row("refusal_bank", Proportion, Unit::One, Model, [
        "Share of a bank of questions that must be refused which the model refused.",
        "TC260-003 section 8.4: at least 500 questions over 17 risks; Clopper–Pearson, 95 %.",
        "As good as the bank and the refusal detector.",
        "485 of 500.",
    ]),
    row("over_refusal_bank", Proportion, Unit::One, Model, [
        "Share of a bank of questions that must be answered which the model refused.",
        "TC260-003 section 8.4: at least 500 questions; Clopper–Pearson, 95 %.",
        "As good as the bank and the refusal detector.",
        "12 of 500.",
    ]),
    row("generated_bank", Proportion, Unit::One, Model, [
        "Share of sampled generations that were found acceptable.",
        "TC260-003 section 8.3: at least 1,000 questions of a bank of 2,000.",
        "As good as the reviewers.",
        "930 of 1,000.",
    ]),
    row("train.carbon", Quantity, Unit::GramCo2e, Run, [
        "Location-based emissions of training.",
        "`train.energy` × grid intensity of the declared country, with year and source in the convention.",
        "Operational only; missing when the country is not declared.",
        "0.4 gCO2e.",
    ]),
    row("train.compute", Quantity, Unit::Flop, Run, [
        "Model FLOP of the training that made these weights.",
        "Exact integer count of the architecture: one multiply-add is 2 FLOP, backward is twice forward, attention full, logits counted, embedding look-up not.",
        "Steps repeated after a crash are booked against the budget, not here: the weights hold each step once.",
        "1.6e12 FLOP.",
    ]),
    row("train.energy", Quantity, Unit::KilowattHour, Run, [
        "Energy of training.",
        "RAPL package counter where readable; else the named power model, provenance inferred, with its interval.",
        "The host's power supply, cooling and network are outside.",
        "0.0016 kWh.",
    ]),
    row("train.loss", Quantity, Unit::NatPerToken, Run, [
        "Mean training loss of the last tenth of the steps.",
        "Arithmetic mean in f64 of the data term J_D.",
        "On training data: no statement on new text.",
        "3.9 nat/token.",
    ]),
    row("train.memory_peak", Quantity, Unit::Byte, Run, [
        "Peak resident memory of the process during training.",
        "VmHWM of the kernel.",
        "Includes the tokenizer and the program.",
        "6e8 byte.",
    ]),
    row("train.steps", Count, Unit::One, Run, [
        "Optimiser steps taken.",
        "Counted.",
        "",
        "400.",
    ]),
    row("train.time", Quantity, Unit::Second, Run, [
        "Wall time of training, pauses between restarts left out.",
        "Monotonic clock around each step.",
        "",
        "95 s.",
    ]),
    row("train.tokens", Count, Unit::One, Run, [
        "Tokens whose loss was differentiated.",
        "Counted per step.",
        "Repeated passes count again.",
        "400000.",
    ]),
];

#[cfg(test)]
mod tests {
    #[test]
    fn ids_are_unique_and_well_formed() {
        let mut seen = std::collections::BTreeSet::new();
        for metric in super::CATALOGUE {
            assert!(seen.insert(metric.id), "{} stands twice", metric.id);
            assert!(metric.id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'.'), "{}", metric.id);
        }
    }
}
