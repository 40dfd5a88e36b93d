//! Figures that others printed, and defects that others had.

use evidence::{Decimal, Round, Unit};
use meter::{
    Account, Architecture, Caps, Cost, Crossing, Joules, PlanInput, Quantity, flop, intensity, peak_dense_bf16,
    predict, score,
};
use serde_json::Value;

fn tables() -> Value {
    serde_json::from_str(include_str!("../fixtures/compute-tables.json")).unwrap()
}

/// Chinchilla, Hoffmann et al. 2022, table A4: layers, width, feed-forward and heads as printed there; vocabulary 32,000, 2,048
/// positions. FLOP, parameters and ratio are the output of the notebook `scaling_laws.ipynb` of nanoGPT at commit 0082c481, which
/// counts with a separate program; the paper prints the ratios 1.03 1.10 1.08 1.04 1.03 0.99.
const CHINCHILLA: [(u64, u64, u64, u64, u128, f64, f64); 6] = [
    (10, 640, 2560, 10, 929_877_196_800, 73_825_280.0, 1.03),
    (20, 1024, 4096, 16, 4_135_248_199_680, 305_707_008.0, 1.10),
    (24, 1280, 5120, 10, 7_353_453_772_800, 552_604_160.0, 1.08),
    (26, 1792, 7168, 14, 14_670_316_437_504, 1_143_453_696.0, 1.04),
    (28, 2048, 8192, 16, 20_220_437_594_112, 1_593_126_912.0, 1.03),
    (40, 3584, 14336, 28, 83_021_046_743_040, 6_796_274_688.0, 0.99),
];

#[test]
fn chinchillas_table_is_reproduced_to_the_last_digit() {
    for (layers, width, hidden, heads, published, parameters, ratio) in CHINCHILLA {
        let head_width = width / heads;
        let model = Architecture {
            layers,
            width,
            heads,
            kv_heads: heads,
            head_width,
            hidden,
            vocabulary: 32_000,
            is_gated: false,
        };
        let counted = flop::chinchilla(&model, 2048);
        assert_eq!(counted, published);
        let found = counted as f64 / flop::six_n_d(parameters, 2048.0);
        assert_eq!((found * 100.0).round() / 100.0, ratio);
    }
}

/// An independent count: every matrix product of a decoder listed as m × k × n, head by head and layer by layer, and each
/// multiply-add counted by adding rows, for small random shapes. The formula under test multiplies sizes out instead.
#[test]
fn the_formula_agrees_with_a_list_of_matrix_products() {
    let mut state = 7_u64;
    let mut next = |most: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        1 + (state >> 33) % most
    };
    for _ in 0..200 {
        let (layers, kv_heads, group, head_width, hidden, vocabulary) =
            (next(4), next(3), next(3), next(5), next(9), next(20));
        let (width, sequences, positions, is_gated) = (next(12), next(3), next(9), next(2) == 1);
        let heads = kv_heads * group;
        let model = Architecture { layers, width, heads, kv_heads, head_width, hidden, vocabulary, is_gated };
        let mut products = Vec::new();
        for _ in 0..layers {
            for _ in 0..sequences {
                products.push((positions, width, heads * head_width));
                products.extend([(positions, width, kv_heads * head_width); 2]);
                for _ in 0..heads {
                    products.extend([(positions, head_width, positions), (positions, positions, head_width)]);
                }
                products.push((positions, heads * head_width, width));
                let into = if is_gated { 2 } else { 1 };
                products.extend(std::iter::repeat_n((positions, width, hidden), into));
                products.push((positions, hidden, width));
            }
        }
        products.extend(std::iter::repeat_n((positions, width, vocabulary), sequences as usize));
        let listed: u128 = products.iter().map(|(m, k, n)| (0..*m).map(|_| u128::from(2 * k * n)).sum::<u128>()).sum();
        assert_eq!(model.forward(sequences, positions), listed, "{model:?}");
    }
}

/// A configuration from a stranger may be absurd; the count then stops at the largest number and no cap admits it.
#[test]
fn absurd_sizes_saturate_and_are_refused() {
    let big = u64::MAX;
    let model = Architecture {
        layers: big,
        width: big,
        heads: big,
        kv_heads: big,
        head_width: big,
        hidden: big,
        vocabulary: big,
        is_gated: true,
    };
    assert_eq!((model.training(big, big), model.parameters()), (u128::MAX, big));
    let dir = tempfile::tempdir().unwrap();
    let caps = Caps::new([Some("1e30".parse().unwrap()), None, None, None]);
    let mut account = Account::open(&dir.path().join("journal"), caps).unwrap();
    assert!(account.reserve(Cost::new(model.training(1, 1), 0.0, 0.0, 0.0), 1).unwrap().is_err());
}

/// Narayanan et al. 2021, table 1: parameters to the tenth of a billion that it prints, 0.05 of it for its rounding.
#[test]
fn megatrons_parameters_are_those_published() {
    for row in tables()["megatron_a100_2021"]["rows"].as_array().unwrap() {
        let at = |column: usize| row[column].as_f64().unwrap();
        let billions = flop::megatron_parameters(2048.0, at(2), at(1), 51200.0) / 1e9;
        assert!((billions - at(0)).abs() <= 0.0501, "{billions} against {}", at(0));
    }
}

/// Korthikanti et al. 2022, table 5: hardware utilisation with the attention core recomputed, within the 0.2 points of the fixture.
#[test]
fn korthikantis_hardware_utilisations_are_reproduced() {
    let tables = tables();
    let table = &tables["megatron_mfu_hfu_2022"];
    for row in table["rows"].as_array().unwrap() {
        let at = |column: usize| row[column].as_f64().unwrap();
        let batch = flop::korthikanti_selective(at(1), 2048.0, at(2), at(3), 51200.0);
        let percent = 100.0 * batch / (at(4) * at(5) * table["peak"].as_f64().unwrap());
        assert!((percent - at(7)).abs() < 0.2, "{}: {percent}", row[0]);
    }
}

/// BLOOM's card: 1,082,990 GPU-hours at 400 W are 433,196 kWh, at 57 g/kWh 24.69 t; both ends by the planner's own arithmetic.
#[test]
fn blooms_energy_and_carbon_are_reproduced() {
    let tables = tables();
    let at = |name: &str| tables["bloom_176b"][name].as_f64().unwrap();
    let watts = Joules { lower: at("tdp_W"), value: at("tdp_W"), upper: at("tdp_W") };
    let kwh = at("gpu_hours") * watts.value / 1000.0;
    assert!((kwh - at("kWh")).abs() < 1.0, "{kwh}");
    let tonnes = kwh * at("g_per_kWh") / 1e6;
    assert!((tonnes - at("tCO2eq_dynamic")).abs() < 0.005, "{tonnes}");
    let cost = Cost::new(0, 0.0, kwh * 3.6e6, kwh * at("g_per_kWh"));
    assert_eq!(cost.in_unit(2, Round::Nearest).to_string(), "433196");
    assert_eq!(cost.in_unit(3, Round::Nearest).to_string(), "24692172");
}

/// Rows of published runs with hours and peak: 6PD, peak and hours give the utilisation that the table has worked out, to its three
/// digits, and every one lies in the range of whole-run utilisations that planning on such devices starts from.
#[test]
fn whole_run_utilisations_of_published_runs_are_between_14_and_52_percent() {
    let (mut n, mut inside) = (0, 0);
    for row in runs() {
        let (Some(parameters), Some(tokens), Some(peak), Some(hours), Some(printed)) =
            (row.parameters, row.tokens, row.peak, row.hours, row.utilisation)
        else {
            continue;
        };
        let found = flop::six_n_d(parameters, tokens) / flop::hardware(hours, peak, 1.0);
        assert!((found - printed).abs() < 0.0011, "{}: {found} against {printed}", row.name);
        n += 1;
        inside += usize::from((0.14..=0.52).contains(&found));
    }
    assert_eq!((n, inside), (15, 15));
}

struct Run {
    name: String,
    parameters: Option<f64>,
    tokens: Option<f64>,
    peak: Option<f64>,
    hours: Option<f64>,
    utilisation: Option<f64>,
}

fn runs() -> Vec<Run> {
    let rows = include_str!("../fixtures/training_runs.csv").lines().skip(1);
    rows.map(|row| {
        let cells: Vec<&str> = row.split(',').collect();
        let number = |column: usize| cells[column].parse().ok();
        let parameters = number(2).or_else(|| number(1));
        Run {
            name: cells[0].to_owned(),
            parameters,
            tokens: number(3),
            peak: number(5),
            hours: number(7),
            utilisation: number(13),
        }
    })
    .collect()
}

/// A public meter matched `h20` inside `H200`, gave 150 TFLOP/s to any device it did not know, and multiplied what it called an upper
/// bound by a utilisation.
#[test]
fn hardware_bounds_take_the_device_named_and_no_other() {
    let hour = |name: &str| peak_dense_bf16(name).map(|peak| flop::hardware(1.0, peak as f64, 1.0));
    assert_eq!(hour("H200"), Some(989e12 * 3600.0));
    assert_eq!(hour("H20"), Some(148e12 * 3600.0));
    assert_eq!(hour("RTX 5090"), None);
}

/// A public sample counted 1,585,294,704 parameters of a 3.21 B model because packed weights have half the elements, and a public text
/// put 3.2 B parameters and a million tokens at 1.9e19 FLOP. The shape of Llama 3.2 3B (28 layers, width 3072, 24 heads of 128, 8
/// key-value heads, feed-forward 8192, vocabulary 128,256, tied) has 3,212,749,824, as its weight files do.
#[test]
fn parameters_come_from_shapes_and_figures_follow_from_their_inputs() {
    let model = Architecture {
        layers: 28,
        width: 3072,
        heads: 24,
        kv_heads: 8,
        head_width: 128,
        hidden: 8192,
        vocabulary: 128_256,
        is_gated: true,
    };
    assert_eq!(model.parameters(), 3_212_749_824);
    assert!((flop::six_n_d(3.2e9, 1e6) / 1.92e16 - 1.0).abs() < 1e-12);
}

fn input<'a>(flop: u128, intensity: Option<&'a meter::Intensity>) -> PlanInput<'a> {
    let architecture = Architecture {
        layers: 4,
        width: 256,
        heads: 8,
        kv_heads: 4,
        head_width: 32,
        hidden: 688,
        vocabulary: 2048,
        is_gated: true,
    };
    PlanInput {
        architecture,
        batch: 16,
        context: 128,
        training_flop: flop,
        case_flop: 2 * flop,
        flop_per_s: Joules { lower: 2e10, value: 4e10, upper: 5e10 },
        watts: Joules { lower: 1.0, value: 10.0, upper: 20.0 },
        power_method: "modelled: by hand",
        intensity,
        trained: 3_426_560,
        optimizer_states: 2,
        halves_activations: false,
    }
}

/// 1.6e12 FLOP of training in a case of 3.2e12: 0.8 · 3.2e12 / 5e10 = 51.2 s, 80 s, 1.5 · 3.2e12 / 2e10 + 30 = 270 s.
#[test]
fn a_prediction_is_outward_and_carbon_is_absent_without_a_country() {
    let named = |quantities: &[Quantity]| quantities.iter().map(|quantity| quantity.name).collect::<Vec<_>>().join(" ");
    let without = predict(&input(1_600_000_000_000, None)).unwrap();
    assert_eq!(named(&without), "compute time memory energy");
    let france = intensity("FR").unwrap();
    let with = predict(&input(1_600_000_000_000, Some(&france))).unwrap();
    assert_eq!(named(&with), "compute time memory energy carbon");
    let shown = |quantity: &Quantity| [quantity.lower, quantity.value, quantity.upper].map(|end| end.to_string());
    assert_eq!(shown(&with[0]), ["1600000000000"; 3]);
    assert_eq!(shown(&with[1]), ["51.2", "80", "270"]);
    // 51.2 s · 1 W, 80 s · 10 W and 270 s · 20 W in kWh, then times 56.039 g; nine digits, outward: the last product lies a
    // hair above 0.0840585 in f64, and an upper end is never rounded down.
    assert_eq!(shown(&with[3]), ["0.0000142222222", "0.000222222222", "0.0015"]);
    assert_eq!(shown(&with[4]), ["0.000796999111", "0.0124531111", "0.0840585001"]);
    assert!(with.iter().all(|quantity| quantity.lower <= quantity.value && quantity.value <= quantity.upper));
    assert!(with.iter().all(|quantity| quantity.method.contains("assuming ")), "every assumption is named");
    assert!(
        predict(&PlanInput { flop_per_s: Joules { lower: 0.0, value: 0.0, upper: 0.0 }, ..input(1, None) }).is_err()
    );
}

/// Weights 3,426,560 × (weights, gradients, two moments) × 4 bytes; a layer keeps 2,048 tokens × (8 · 256 + 1.5 · 688) numbers; and
/// 50 MB. Of adapters a hundredth of that is trained.
#[test]
fn memory_follows_its_formula() {
    let layer: u128 = 2048 * (8 * 256 + 3 * 344);
    for (trained, numbers) in [(3_426_560, 3_426_560 * 4), (34_265, 3_426_560 + 34_265 * 3)] {
        let memory = &predict(&PlanInput { trained, ..input(1, None) }).unwrap()[2];
        let bytes: u128 = 4 * (numbers + 4 * layer) + 50_000_000;
        assert_eq!((memory.value, memory.unit), (Decimal::from_u128(bytes, Round::Nearest), Unit::Byte));
    }
}

/// Interval score at 90 %: width 10; 2 outside adds 20 · 2.
#[test]
fn a_prediction_is_scored_by_width_and_distance() {
    let of = |text: &str| text.parse::<Decimal>().unwrap();
    let predicted = Quantity {
        name: "time",
        value: of("15"),
        lower: of("10"),
        upper: of("20"),
        unit: Unit::Second,
        method: String::new(),
    };
    for (measured, is_inside, expected) in
        [("10", true, "10"), ("20", true, "10"), ("22", false, "50"), ("8", false, "50")]
    {
        let found = score(&predicted, of(measured)).unwrap();
        assert_eq!((found.is_inside, found.interval_score), (is_inside, of(expected)), "{measured}");
    }
}

/// A compute cap of 10^26 FLOP, in integers: a plan of exactly that fits, one more does not.
#[test]
fn a_cap_is_crossed_by_one_flop() {
    let dir = tempfile::tempdir().unwrap();
    let caps = Caps::new([Some("1e26".parse().unwrap()), None, None, None]);
    let cap = 10_u128.pow(26);
    for (flop, fits) in [(cap, true), (cap + 1, false)] {
        let mut account = Account::open(&dir.path().join(flop.to_string()), caps).unwrap();
        assert_eq!(account.reserve(Cost([flop, 0, 0, 0]), 1).unwrap().is_ok(), fits);
    }
    let limit: Decimal = "1e26".parse().unwrap();
    let bounds = [Round::Down, Round::Up].map(|round| Decimal::from_u128(cap - 1, round));
    assert_eq!(Crossing::of(bounds[0], bounds[1], |compute| compute >= limit), Crossing::Possible, "rounded outward");
}
