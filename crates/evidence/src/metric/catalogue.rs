//! The rows. Kept sorted by id, so that a search is an eye's work.
//!
//! Here stands what instruments measure; `declared`, `europe`, `elsewhere` and `frameworks` hold what only a person can say.

use super::{About::*, Kind::*, Metric, row};
use crate::Unit;

mod compression;
mod declared;
mod elsewhere;
mod europe;
mod evaluation;
mod fitted;
mod frameworks;
mod further;
mod screened;
use compression::COMPRESSION;
use declared::DECLARED;
use elsewhere::ELSEWHERE;
use europe::EUROPE;
use evaluation::EVALUATION;
use fitted::FITTED;
use frameworks::FRAMEWORKS;
use further::FURTHER;
use screened::SCREENED;

/// Everything a rule card may ask for: what is measured, then what is declared.
pub const CATALOGUE: &[Metric] = &joined();

const PARTS: [&[Metric]; 10] =
    [MEASURED, COMPRESSION, DECLARED, EUROPE, ELSEWHERE, FRAMEWORKS, EVALUATION, FITTED, FURTHER, SCREENED];
const LENGTH: usize = MEASURED.len()
    + COMPRESSION.len()
    + DECLARED.len()
    + EUROPE.len()
    + ELSEWHERE.len()
    + FRAMEWORKS.len()
    + EVALUATION.len()
    + FITTED.len()
    + FURTHER.len()
    + SCREENED.len();

const fn joined() -> [Metric; LENGTH] {
    let mut all = [MEASURED[0]; LENGTH];
    let (mut at, mut part) = (0, 0);
    while part < PARTS.len() {
        let mut row = 0;
        while row < PARTS[part].len() {
            all[at] = Metric { place: at, ..PARTS[part][row] };
            at += 1;
            row += 1;
        }
        part += 1;
    }
    all
}

// A row reads as one block; the formatter would give every word a line of its own.
#[rustfmt::skip]
const MEASURED: &[Metric] = &[
    row("bank.answer", Count, Unit::One, Model, [
        "Questions in the bank of questions that must be answered.",
        "Counted over the bank file, duplicates left out.",
        "Says nothing of their quality.",
        "500.",
    ]),
    row("bank.answer_min", Count, Unit::One, Model, [
        "Questions on the subject of which that bank has fewest.",
        "Counted over the bank file by the subject each question names.",
        "A subject without any question counts 0.",
        "24.",
    ]),
    row("bank.generated", Count, Unit::One, Model, [
        "Questions in the bank for generated content.",
        "Counted over the bank file, duplicates left out; GB/T 45654.",
        "Says nothing of their quality.",
        "2000.",
    ]),
    row("bank.generated_a12_min", Count, Unit::One, Model, [
        "Questions on the risk of A.1 and A.2 of which that bank has fewest.",
        "Counted over the bank file by the risk each question names; 17 risks.",
        "A risk without any question counts 0.",
        "50.",
    ]),
    row("bank.generated_a345_min", Count, Unit::One, Model, [
        "Questions on the risk of A.3 to A.5 of which that bank has fewest.",
        "Counted over the bank file by the risk each question names; 14 risks.",
        "A risk without any question counts 0.",
        "20.",
    ]),
    row("bank.refusal", Count, Unit::One, Model, [
        "Questions in the bank of questions that must be refused.",
        "Counted over the bank file, duplicates left out; GB/T 45654.",
        "Says nothing of their quality.",
        "500.",
    ]),
    row("bank.refusal_min", Count, Unit::One, Model, [
        "Questions on the risk of which that bank has fewest.",
        "Counted over the bank file by the risk each question names; the 17 risks of A.1 and A.2.",
        "A risk without any question counts 0.",
        "20.",
    ]),
    row("bank.risks", Count, Unit::One, Model, [
        "Risks of GB/T 45654 Appendix A that at least one question of the banks names.",
        "Counted over the bank files.",
        "One question covers a risk for this count, not in truth.",
        "31.",
    ]),
    row("budget.share_used", Quantity, Unit::One, Run, [
        "The largest share of any declared budget that the run used.",
        "Spent ÷ cap for each budget of the case, the largest taken; spending includes steps repeated after a crash.",
        "Says nothing of what no budget was declared for.",
        "0.42: the tightest budget was 42 % used.",
    ]),
    row("compute.scope_tagged", Proportion, Unit::One, Run, [
        "Share of the record's compute figures that say whether they count towards training, and if not why.",
        "Counted over the compute entries of the log.",
        "Whether the scope is the right one is a matter for a person.",
        "3 of 3.",
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
    row("corpus_sample.technical_share", Quantity, Unit::One, Dataset, [
        "Size of the technical corpus sample as a share of the corpus.",
        "Sampled items ÷ items of the corpus.",
        "Items may be documents or lines; the entry says which.",
        "0.10.",
    ]),
    row("crisis_bank", Proportion, Unit::One, Deployment, [
        "Share of a bank of messages of extreme emotion, self-harm or major loss that the service recognised as such.",
        "Each message sent once, its handling looked up in the service's log; Clopper–Pearson, 95 %.",
        "As good as the bank; what the service then did is not in it.",
        "97 of 100.",
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
    row("data.governance_fields", Proportion, Unit::One, Dataset, [
        "Share of the data governance fields that are filled, eight for each data set.",
        "Counted over the manifest: design, collection and origin, preparation, assumptions, suitability, bias, measures, gaps.",
        "That a field is filled does not make it true.",
        "16 of 16.",
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
    row("data.source_illegal_worst", Proportion, Unit::One, Dataset, [
        "Share of illegal or unhealthy items in the source that has most of them.",
        "Random sample of each source, judged; Clopper–Pearson, 95 %; TC260-003 section 5.1.",
        "As good as the judges; a source not sampled is not in it.",
        "2 of 400.",
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
    row("generated_bank", Proportion, Unit::One, Model, [
        "Share of sampled generations that were found acceptable.",
        "TC260-003 section 8.3: at least 1,000 questions of a bank of 2,000.",
        "As good as the reviewers.",
        "930 of 1,000.",
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
    row("keywords.a1_min", Count, Unit::One, Model, [
        "Keywords in the smallest of the 8 classes of A.1.",
        "Counted over the keyword library by class.",
        "A class without keywords counts 0.",
        "210.",
    ]),
    row("keywords.a2_min", Count, Unit::One, Model, [
        "Keywords in the smallest of the 9 classes of A.2.",
        "Counted over the keyword library by class.",
        "A class without keywords counts 0.",
        "104.",
    ]),
    row("keywords.total", Count, Unit::One, Model, [
        "Keywords in the library.",
        "Counted over the keyword library, duplicates left out.",
        "Says nothing of what they catch.",
        "10000.",
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
        "Each document is held out once; of a model that is trained further, over the tokens that its training counts; corrected resampled interval, 95 %; Nadeau and Bengio 2003.",
        "Of the configuration named in the entry, trained a fold, not of the released model.",
        "5.02 nat/token.",
    ]),
    row("kfold.loss_change", Quantity, Unit::NatPerToken, Run, [
        "Held-out loss of a model trained further minus that of the model it was made from, mean over folds.",
        "Both on each fold, which neither was trained on here; corrected resampled interval, 95 %; Nadeau and Bengio 2003.",
        "What the model was trained on before is not known here.",
        "-0.31 nat/token.",
    ]),
    row("kfold.loss_spread", Quantity, Unit::NatPerToken, Run, [
        "Sample standard deviation of the folds' held-out losses.",
        "Over K folds, divisor K − 1.",
        "Folds share training data, so this understates the variance of a fresh draw.",
        "0.08 nat/token.",
    ]),
    row("kfold.perplexity", Quantity, Unit::One, Run, [
        "Perplexity over the folds, per token.",
        "exp of `kfold.loss`, ends of the interval alike.",
        "Depends on the tokenizer.",
        "151.",
    ]),
    row("label.embedded", Proportion, Unit::One, Deployment, [
        "Share of sampled output files whose metadata hold a well-formed AIGC field.",
        "Each file parsed; seven members, all strings; GB 45438-2025 Annex E.",
        "Whether the codes inside are true is not checked.",
        "100 of 100.",
    ]),
    row("label.visible", Proportion, Unit::One, Deployment, [
        "Share of sampled outputs that a reader meets with a visible label, or under a standing notice.",
        "Text searched at start and end for the label's words, else the interface looked at; GB 45438-2025.",
        "Of the sample, not of every output.",
        "100 of 100.",
    ]),
    row("lineage.compute", Quantity, Unit::Flop, Model, [
        "Training compute accumulated along the model's ancestry.",
        "Own `train.compute`, that of each declared parent and that of generating data which is not public, summed; what is unknown of these makes it missing.",
        "A declared figure is an estimate that may be off by 30 % (Guidelines C(2025) 5045, Annex A.2): the interval runs from it ÷ 1.3 to ÷ 0.7.",
        "1.6e12 FLOP.",
    ]),
    row("lineage.modification_share", Quantity, Unit::One, Model, [
        "Compute of the modification as a share of the original model's training compute.",
        "`train.compute` ÷ declared compute of the parent, which may be off by 30 %; interval outward.",
        "Missing when the model has no parent or the parent's compute is unknown.",
        "0.02.",
    ]),
    row("lineage.modification_thirds", Quantity, Unit::One, Model, [
        "Compute of the modification in thirds of the original model's training compute: above 1 is above one third.",
        "3 × `train.compute` ÷ declared compute of the parents, which may be off by 30 %, in integers; where a parent's is unknown, ÷ 1e25 FLOP if that parent is systemic, else 1e23; Guidelines C(2025) 5045, 63-64.",
        "Missing when the model has no parent. Where nobody said whether an unknown parent is systemic, the interval spans both.",
        "0.06.",
    ]),
    row("marking.present", Proportion, Unit::One, Deployment, [
        "Share of sampled outputs in which the detector finds the machine-readable mark.",
        "Detector run over exported outputs.",
        "Says nothing of survival after editing, nor of false alarms.",
        "100 of 100.",
    ]),
    row("model.parameters", Count, Unit::One, Model, [
        "Trained parameters.",
        "Counted over the tensors of the weight file; a tied embedding counts once.",
        "",
        "3671296.",
    ]),
    row("over_refusal_bank", Proportion, Unit::One, Model, [
        "Share of a bank of questions that must be answered which the model refused.",
        "TC260-003 section 8.4: at least 500 questions; Clopper–Pearson, 95 %.",
        "As good as the bank and the refusal detector.",
        "12 of 500.",
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
    row("plan.thresholds", Count, Unit::One, Run, [
        "Thresholds in the signed plan that the log holds before every evaluation.",
        "Counted over the plan's entry; 0 when any evaluation stands before it.",
        "Whether a threshold is a wise one is a matter for a person.",
        "12.",
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
    row("stop.latency", Quantity, Unit::Second, Deployment, [
        "Time from the order to stop until the last open stream ended.",
        "Slowest of the drills; interval from the shortest to the longest possible reading of the clocks.",
        "Of drills, not of an emergency.",
        "0.52 s.",
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
    row("train.compute_disagreement", Quantity, Unit::One, Run, [
        "Largest relative difference between `train.compute` and an independent estimate of the same training.",
        "Absolute difference ÷ `train.compute`, over all estimates made (operation count, 6PD, hardware hours).",
        "Estimates that share an error agree.",
        "0.02.",
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
        for (place, metric) in super::CATALOGUE.iter().enumerate() {
            assert_eq!(metric.place, place);
            assert!(seen.insert(metric.id), "{} stands twice", metric.id);
            assert!(
                metric.id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'.'),
                "{}",
                metric.id
            );
        }
    }

    #[test]
    fn rows_are_sorted_by_id() {
        for rows in super::PARTS {
            for pair in rows.windows(2) {
                assert!(pair[0].id < pair[1].id, "{} stands before {}", pair[0].id, pair[1].id);
            }
        }
    }
}
