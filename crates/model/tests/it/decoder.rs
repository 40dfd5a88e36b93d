//! A row's figures depend on the row and the model, on nothing else.

use crate::{bits, families, small, values};
use candle_core::{Device, Tensor};
use model::{Cache, Decoder, HubConfig, Llama, Row, Target};

/// Wide and deep enough to reach the blocked kernels of the matrix product, odd sizes included; rows longer than a block
/// of keys.
fn llama() -> Llama {
    let config = model::Config {
        vocab: 1031,
        layers: 2,
        width: 192,
        heads: 6,
        kv_heads: 2,
        hidden: 523,
        context: 640,
        rope_theta: 10_000.0,
        norm_eps: 1e-5,
    };
    Llama::init(&config, 5).unwrap()
}

fn decoder() -> Decoder {
    of_llama(&llama())
}

/// The same weights, opened as a stranger's model.
fn of_llama(llama: &Llama) -> Decoder {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    model::weights::save(&path, &llama.tensors(), &std::collections::BTreeMap::new()).unwrap();
    let config = HubConfig::from_json(&llama.config().to_json()).unwrap();
    model::decoder(&config, &path).unwrap().1
}

fn tokens(seed: usize, n: usize, vocab: usize) -> Vec<u32> {
    (0..n).map(|at| ((seed * 7919 + at * at * 31 + at) % vocab) as u32).collect()
}

fn rows() -> Vec<Vec<u32>> {
    let lengths = [1, 2, 3, 7, 8, 9, 17, 33, 64, 100, 255, 256, 257, 300, 515];
    lengths.iter().enumerate().map(|(at, &n)| tokens(at, n, 1031)).collect()
}

/// The bits of each row's logits.
fn logits(decoder: &Decoder, rows: &[Vec<u32>]) -> Vec<Vec<u32>> {
    let mut packed: Vec<Row> = rows.iter().map(|row| Row::alone(row)).collect();
    let all = bits(&decoder.logits(&mut packed).unwrap());
    let mut all = all.as_slice();
    let mut take = |n: usize| {
        let (own, rest) = all.split_at(n * decoder.vocab());
        all = rest;
        own.to_vec()
    };
    rows.iter().map(|row| take(row.len())).collect()
}

#[test]
fn a_row_has_the_same_bits_alone_and_in_any_company() {
    let (decoder, rows) = (decoder(), rows());
    let together = logits(&decoder, &rows);
    for (row, expected) in rows.iter().zip(&together) {
        assert!(logits(&decoder, std::slice::from_ref(row))[0] == *expected, "row of {}", row.len());
    }
    let mut turned = rows.clone();
    turned.reverse();
    let mut back = logits(&decoder, &turned);
    back.reverse();
    assert!(back == together);
}

#[test]
fn a_cached_prefix_changes_no_bit() {
    let decoder = decoder();
    for row in rows() {
        let expected = logits(&decoder, std::slice::from_ref(&row)).concat();
        for cut in [1, 2, 5, 8, 31, 64, 200, 256, 257, 299].into_iter().filter(|cut| *cut < row.len()) {
            let mut cache = decoder.cache();
            let mut found = Vec::new();
            for part in [&row[..cut], &row[cut..]] {
                let mut one = [Row { tokens: part, cache: Some(&mut cache), targets: &[] }];
                found.extend(bits(&decoder.logits(&mut one).unwrap()));
            }
            assert!(found == expected, "row of {} cut at {cut}", row.len());
            assert_eq!(cache.len(), row.len());
        }
    }
}

/// Each family's own parts as well: windows, caps, experts, head norms.
#[test]
fn every_family_holds_its_bits_behind_a_prefix_and_in_company() {
    for name in
        ["mistral", "qwen2", "qwen3", "gpt2", "gpt_neox", "gemma2", "gemma3", "phi3", "olmo2", "qwen3_moe", "mixtral"]
    {
        let fixture = families::fixture(name);
        let (_, decoder) = families::decoder(&fixture);
        let together = logits(&decoder, &fixture.rows);
        for (row, expected) in fixture.rows.iter().zip(&together) {
            let mut cache = decoder.cache();
            let mut found = Vec::new();
            for token in row {
                let mut one = [Row { tokens: &[*token], cache: Some(&mut cache), targets: &[] }];
                found.extend(bits(&decoder.logits(&mut one).unwrap()));
            }
            assert!(found == *expected, "{name}, token by token");
        }
    }
}

#[test]
fn clones_of_a_prefix_go_their_own_ways() {
    let decoder = decoder();
    let (prefix, ends) = (tokens(3, 40, 1031), [tokens(4, 5, 1031), tokens(5, 9, 1031)]);
    let mut first = decoder.cache();
    decoder.prefill(&mut [Row { tokens: &prefix, cache: Some(&mut first), targets: &[] }]).unwrap();
    let mut second = first.clone();
    let mut both = [
        Row { tokens: &ends[0], cache: Some(&mut first), targets: &[] },
        Row { tokens: &ends[1], cache: Some(&mut second), targets: &[] },
    ];
    let found = bits(&decoder.logits(&mut both).unwrap());
    let whole: Vec<u32> = ends
        .iter()
        .flat_map(|end| {
            let all = logits(&decoder, &[[prefix.clone(), end.clone()].concat()]).concat();
            all[prefix.len() * decoder.vocab()..].to_vec()
        })
        .collect();
    assert!(found == whole);
    // Cut back to the prefix, the other end can follow.
    first.truncate(prefix.len());
    assert_eq!((first.len(), second.len()), (40, 49));
    let mut again = [Row { tokens: &ends[1], cache: Some(&mut first), targets: &[] }];
    assert!(bits(&decoder.logits(&mut again).unwrap()) == whole[ends[0].len() * decoder.vocab()..]);
}

/// With somebody who looks at what the matrices read, a layer's parts are made one after another; the bits are the same.
#[test]
fn who_observes_a_layer_changes_nothing() {
    let decoder = decoder();
    for n in [5, 12, 13, 40] {
        let tokens = tokens(3, n, 1031);
        let mut stream = decoder.embedded(&[Row::alone(&tokens)]).unwrap();
        for at in 0..decoder.layers() {
            stream = decoder.layer(at, &stream, &mut [Row::alone(&tokens)], &mut |_, _| Ok(())).unwrap();
        }
        let whole = decoder.logits(&mut [Row::alone(&tokens)]).unwrap();
        assert!(bits(&decoder.head(&stream).unwrap()) == bits(&whole), "{n} tokens");
    }
}

/// Against the logits, by a log-softmax in f64 that is written here.
#[test]
fn log_probabilities_are_those_of_the_logits() {
    let decoder = decoder();
    let rows = [tokens(1, 30, 1031), tokens(2, 3, 1031)];
    let targets = [
        vec![Target { position: 29, token: 5 }, Target { position: 0, token: 1030 }, Target { position: 29, token: 6 }],
        vec![Target { position: 1, token: 0 }],
    ];
    let mut asked: Vec<Row> =
        rows.iter().zip(&targets).map(|(tokens, targets)| Row { tokens, cache: None, targets }).collect();
    let found = decoder.log_probs(&mut asked).unwrap();
    for ((row, targets), found) in rows.iter().zip(&targets).zip(found) {
        let all = values(&decoder.logits(&mut [Row::alone(row)]).unwrap());
        for (target, found) in targets.iter().zip(found) {
            let at: Vec<f64> = all[target.position * 1031..][..1031].iter().map(|x| f64::from(*x)).collect();
            let largest = at.iter().copied().fold(f64::MIN, f64::max);
            let sum: f64 = at.iter().map(|x| (x - largest).exp()).sum();
            let expected = at[target.token as usize] - largest - sum.ln();
            // Powers in f32, each within 2.5e-7 of itself.
            assert!((found.log_prob - expected).abs() < 1e-7, "{found:?}, expected {expected}");
            assert_eq!(found.is_first, at.iter().position(|x| *x == largest) == Some(target.token as usize));
        }
    }
}

/// The trained decoder and the opened one are two programs for the same function, which takes rows in blocks here and whole
/// there. Tolerance 1e-4 as in `llama.rs`.
#[test]
fn the_trainable_decoder_says_the_same() {
    for (llama, n, vocab) in [(Llama::init(&small(300), 7).unwrap(), 16, 300), (llama(), 600, 1031)] {
        let row = tokens(1, n, vocab);
        let input = Tensor::new(row.as_slice(), &Device::Cpu).unwrap().unsqueeze(0).unwrap();
        let expected = values(&llama.logits(&input).unwrap());
        let found = values(&of_llama(&llama).logits(&mut [Row::alone(&row)]).unwrap());
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-4, "{n} tokens: expected {expected}, found {found}");
        }
    }
}

/// With one layer and positions told by their distance alone, the last token of a row hears nothing of what its window leaves
/// out. Tolerance 1e-4: the angles of later positions are rounded elsewhere.
#[test]
fn a_window_ends_where_it_ends_in_the_midst_of_blocks() {
    let llama = llama();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let mut tensors = llama.tensors();
    tensors.retain(|name, _| !name.contains(".layers.1."));
    model::weights::save(&path, &tensors, &std::collections::BTreeMap::new()).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&llama.config().to_json()).unwrap();
    config["model_type"] = "mistral".into();
    config["architectures"] = serde_json::json!(["MistralForCausalLM"]);
    config["num_hidden_layers"] = 1.into();
    let mut open = |window: usize| {
        config["sliding_window"] = window.into();
        let config = HubConfig::from_json(&config.to_string()).unwrap();
        model::decoder(&config, &path).unwrap().1
    };
    let last = |decoder: &Decoder, row: &[u32]| {
        let all = values(&decoder.logits(&mut [Row::alone(row)]).unwrap());
        all[all.len() - decoder.vocab()..].to_vec()
    };
    let row = tokens(3, 600, 1031);
    for window in [1, 5, 88, 256, 257, 300] {
        let decoder = open(window);
        let (found, expected) = (last(&decoder, &row), last(&decoder, &row[600 - window..]));
        let most = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(most < 1e-4, "a window of {window}: {most} apart");
        let mut cache = decoder.cache();
        for part in [&row[..270], &row[270..]] {
            let mut one = [Row { tokens: part, cache: Some(&mut cache), targets: &[] }];
            let all = values(&decoder.logits(&mut one).unwrap());
            if part.len() == 330 {
                assert!(all[all.len() - decoder.vocab()..] == found, "a window of {window}, cut at 270");
            }
        }
    }
}

#[test]
fn rows_without_an_answer_are_refused_and_caches_kept() {
    let decoder = decoder();
    let (good, long) = (tokens(1, 5, 1031), tokens(1, 636, 1031));
    let mut cache = decoder.cache();
    decoder.prefill(&mut [Row { tokens: &good, cache: Some(&mut cache), targets: &[] }]).unwrap();
    let target = [Target { position: 5, token: 0 }];
    let verdict = |tokens: &[u32], cache: Option<&mut Cache>, targets: &[Target]| {
        decoder.log_probs(&mut [Row::alone(&good), Row { tokens, cache, targets }]).unwrap_err().to_string()
    };
    assert_eq!(verdict(&[], None, &[]), "expected row 1 to hold tokens, found none");
    assert_eq!(verdict(&[3, 1031], None, &[]), "expected tokens below 1031, found 1031 in row 1 at position 1");
    assert_eq!(verdict(&long, Some(&mut cache), &[]), "expected at most 640 positions, found 641 in row 1");
    assert_eq!(verdict(&good, None, &target), "expected at most 5 positions, found 6 in row 1");
    let mut other = families::decoder(&families::fixture("gemma3")).1.cache();
    assert_eq!(
        verdict(&good, Some(&mut other), &[]),
        "expected a cache of this model, of 2 layers, found one of 3 in row 1"
    );
    assert_eq!(cache.len(), 5);
}

#[test]
fn a_sampled_text_does_not_depend_on_its_company() {
    use model::{Sampled, Sampling, Start};
    let decoder = decoder();
    let starts = [tokens(3, 9, 1031), tokens(5, 1, 1031), tokens(3, 9, 1031), tokens(8, 30, 1031)];
    let sampling = Sampling { temperature: 1.0, top_k: 40, top_p: 0.9, tokens_max: 12, seed: 4 };
    let sample = |streams: &[usize], sampling: &Sampling| {
        let starts: Vec<Start<'_>> =
            streams.iter().map(|&at| Start { tokens: &starts[at], stream: at as u64 }).collect();
        let (mut n, mut calls) = (0, 0);
        let found = decoder
            .sample(&starts, sampling, &[7], &mut |ahead| {
                n += ahead.iter().map(|piece| piece.n).sum::<usize>();
                calls += 1;
                evidence::Control::Continue
            })
            .unwrap();
        let Sampled::Finished(found) = found else { panic!("nobody stopped it") };
        (found, n, calls)
    };
    let (together, n, _) = sample(&[0, 1, 2, 3], &sampling);
    // Alike starts are computed once: 8 + 0 + 29 positions, and then each token but the last that ends its text.
    let drawn: usize = together.iter().map(|one| one.tokens.len() + usize::from(one.is_finished)).sum();
    assert_eq!(n, 8 + 29 + drawn);
    for (at, expected) in together.iter().enumerate() {
        assert_eq!(sample(&[at], &sampling).0[0], *expected, "{at}");
    }
    assert_ne!(together[0].tokens, together[2].tokens, "streams of one seed are apart");
    assert_ne!(sample(&[0], &Sampling { seed: 5, ..sampling }).0[0], together[0]);
    let greedy = Sampling { temperature: 0.0, ..sampling };
    assert_eq!(sample(&[3], &greedy).0[0].tokens, decoder.generate(&starts[3], 12, &[7]).unwrap());
    let stopped = decoder.sample(&[Start { tokens: &starts[0], stream: 0 }], &sampling, &[], &mut |_| {
        evidence::Control::Stop("enough".to_owned())
    });
    assert_eq!(stopped.unwrap(), Sampled::Stopped("enough".to_owned()));
}
