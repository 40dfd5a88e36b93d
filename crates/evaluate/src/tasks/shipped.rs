//! The task files that are shipped, in the binary.

use std::{io, path::Path};

macro_rules! shipped {
    ($($path:literal),* $(,)?) => {
        /// Path below `tasks/`, and text.
        pub(crate) const FILES: &[(&str, &str)] = &[$(($path, include_str!(concat!("../../tasks/", $path)))),*];
    };
}

shipped![
    "arc/arc_challenge.yaml",
    "arc/arc_easy.yaml",
    "bbq/bbq.yaml",
    "bbq/bbq_ambig.yaml",
    "bbq/bbq_disambig.yaml",
    "boolq/boolq.yaml",
    "cbbq/cbbq_lite.yaml",
    "cmmlu/_cmmlu.yaml",
    "cmmlu/cmmlu_tasks.yaml",
    "copa/copa.yaml",
    "crows_pairs/crows_pairs_english.yaml",
    "crows_pairs/crows_pairs_english_types.yaml",
    "gsm8k/gsm8k.yaml",
    "hellaswag/hellaswag.yaml",
    "lambada/lambada_openai.yaml",
    "logiqa/logiqa.yaml",
    "mmlu/_mmlu.yaml",
    "mmlu/_mmlu_continuation.yaml",
    "mmlu/_mmlu_humanities.yaml",
    "mmlu/_mmlu_humanities_continuation.yaml",
    "mmlu/_mmlu_other.yaml",
    "mmlu/_mmlu_other_continuation.yaml",
    "mmlu/_mmlu_social_sciences.yaml",
    "mmlu/_mmlu_social_sciences_continuation.yaml",
    "mmlu/_mmlu_stem.yaml",
    "mmlu/_mmlu_stem_continuation.yaml",
    "mmlu/mmlu_continuation_tasks.yaml",
    "mmlu/mmlu_tasks.yaml",
    "openbookqa/openbookqa.yaml",
    "piqa/piqa.yaml",
    "safetybench/safetybench_zh.yaml",
    "sciq/sciq.yaml",
    "truthfulqa/truthfulqa_mc1.yaml",
    "truthfulqa/truthfulqa_mc2.yaml",
    "wikitext/wikitext.yaml",
    "winobias/winobias.yaml",
    "winogender/winogender.yaml",
    "winogrande/winogrande.yaml",
    "xstest/xstest.yaml",
];

/// The text of a shipped file, for includes among them.
pub(crate) fn text(path: &Path) -> io::Result<String> {
    let found = FILES.iter().find(|(name, _)| Path::new(name) == path);
    found.map(|(_, text)| (*text).to_owned()).ok_or_else(|| io::ErrorKind::NotFound.into())
}
