//! What is measured of data that models made, and of models that are trained further.

use crate::Unit;
use crate::metric::{About::*, Kind::*, Metric, row};

// A row reads as one block; the formatter would give every word a line of its own.
#[rustfmt::skip]
pub(super) const FURTHER: &[Metric] = &[
    row("data.origin_stated", Proportion, Unit::One, Dataset, [
        "Share of documents of which somebody said whether a model made them.",
        "Documents with a generator's mark, and those of sources that the case declares with `generated`, either way, counted.",
        "That something was said does not make it true.",
        "64 of 64.",
    ]),
    row("data.synthetic_share", Proportion, Unit::One, Dataset, [
        "Share of documents known to be made by a model.",
        "Documents with a generator's mark, and those of sources declared `generated`, counted.",
        "A lower bound: text without a mark may be made by a model all the same; ask for `data.origin_stated` beside it.",
        "20 of 84.",
    ]),
    row("data.synthetic_token_share", Proportion, Unit::One, Dataset, [
        "Share of the corpus's tokens in documents known to be made by a model.",
        "Tokens of those documents under the model's own tokenizer by `data.tokens`.",
        "A lower bound, as `data.synthetic_share`; a mixture may draw some documents more often.",
        "2,100 of 19,011.",
    ]),
    row("generate.compute", Quantity, Unit::Flop, Run, [
        "Model FLOP spent on sampling texts, those that were thrown away among them.",
        "Prefill and each token behind it, by the architecture's exact count of the forward pass.",
        "Without the training of the generator, which the EU does not count towards what is trained on its texts.",
        "4.2e11 FLOP.",
    ]),
    row("generate.documents", Count, Unit::One, Dataset, [
        "Documents that a generation kept.",
        "Counted over the file that was written.",
        "Says nothing of their quality.",
        "200.",
    ]),
    row("generate.kept", Proportion, Unit::One, Dataset, [
        "Share of sampled texts that passed the recipe's filters.",
        "Kept by sampled, in the order of their numbers, until enough were kept.",
        "A low share makes much compute of few texts.",
        "200 of 264.",
    ]),
    row("heldout.loss_change", Quantity, Unit::NatPerToken, Model, [
        "Change of the loss on held-out documents by training a model further, after minus before.",
        "Pooled loss of the tuned model minus that of its base on the same documents; bootstrap over documents, paired, 95 %.",
        "Of documents like those it was tuned on; what the model lost elsewhere is not in it.",
        "-0.4 nat/token: perplexity fell by a third.",
    ]),
];
