//! Energy: a counter where one is readable, else a named model with its interval. Missing is never zero.

use crate::{
    hardware::{CpuIdentity, Hardware},
    rapl::Rapl,
};
use std::path::Path;

/// A quantity with bounds: joules, and elsewhere seconds, watts, FLOP a second or bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Joules {
    pub lower: f64,
    pub value: f64,
    pub upper: f64,
}

/// Where energy figures come from on this machine.
#[derive(Debug)]
pub enum Sensor {
    /// The package counters of RAPL.
    Rapl(Rapl),
    /// Watts between idle and load.
    Model(PowerModel),
}

impl Sensor {
    /// The best there is: RAPL when it can be read, else a model of this machine's processor with `threads` of it at work.
    #[must_use]
    pub fn find(threads: usize) -> Self {
        Self::find_in(Path::new("/sys/class/powercap"), &Hardware::find(), threads)
    }

    /// As [`Sensor::find`], for a powercap folder and a machine.
    #[must_use]
    pub fn find_in(powercap: &Path, machine: &Hardware, threads: usize) -> Self {
        match Rapl::open(powercap) {
            Ok(rapl) => Self::Rapl(rapl),
            Err(reason) => {
                Self::Model(PowerModel { reason: Some(reason.to_string()), ..PowerModel::of(machine, threads) })
            }
        }
    }

    /// How energy came to be known, as evidence carries it.
    #[must_use]
    pub fn method(&self) -> String {
        match self {
            Self::Rapl(rapl) => {
                let gaps = match rapl.gaps() {
                    0 => String::new(),
                    n => format!("; {n} readings without a counter, bounded by the power limit"),
                };
                format!("counter: RAPL, {} package domains, nested domains not summed{gaps}", rapl.packages())
            }
            Self::Model(model) => model.method(),
        }
    }

    /// How power is expected to be, as a prediction carries it: also with a counter, the future is modelled.
    #[must_use]
    pub fn expected_method(&self) -> String {
        match self {
            Self::Rapl(rapl) => format!(
                "modelled: between nothing and the power limit of {} packages, half of it expected",
                rapl.packages()
            ),
            Self::Model(model) => model.method(),
        }
    }

    /// Whether every joule so far was counted; a single gap makes the sum an inference.
    #[must_use]
    pub const fn is_counter(&self) -> bool {
        matches!(self, Self::Rapl(rapl) if rapl.gaps() == 0)
    }

    /// Readings under which the counter failed or began anew.
    #[must_use]
    pub const fn gaps(&self) -> u64 {
        match self {
            Self::Rapl(rapl) => rapl.gaps(),
            Self::Model(_) => 0,
        }
    }

    /// An upper bound on the power drawn, in watts: what a reservation is made with.
    #[must_use]
    pub fn watts_max(&self) -> f64 {
        self.watts().upper
    }

    /// The power expected under load, in watts, with bounds.
    #[must_use]
    pub fn watts(&self) -> Joules {
        match self {
            Self::Rapl(rapl) => Joules { lower: 0.0, value: rapl.watts_max() / 2.0, upper: rapl.watts_max() },
            Self::Model(model) => model.watts,
        }
    }

    /// Starts the count here: what was drawn before is not attributed to the next reading.
    pub fn begin(&mut self) {
        if let Self::Rapl(rapl) = self {
            rapl.read();
        }
    }

    /// Energy since the last call or since [`Sensor::begin`]; a model's is over `seconds` of wall time.
    pub fn read(&mut self, seconds: f64) -> Joules {
        match self {
            Self::Rapl(rapl) => rapl.read(),
            Self::Model(PowerModel { watts, .. }) => {
                Joules { lower: watts.lower * seconds, value: watts.value * seconds, upper: watts.upper * seconds }
            }
        }
    }
}

/// Watts of a processor under this work, by the best of three tables' readings; always an inference.
#[derive(Debug, Clone, PartialEq)]
pub struct PowerModel {
    name: String,
    watts: Joules,
    /// Why there is no counter.
    reason: Option<String>,
}

impl PowerModel {
    /// The model that knows most of this machine: its server generation, else the design power of its exact name on a machine that is
    /// not virtual, else every generation of the table.
    #[must_use]
    pub fn of(machine: &Hardware, threads: usize) -> Self {
        Self::by_generation(machine, threads)
            .or_else(|| Self::by_design_power(machine))
            .unwrap_or_else(|| Self::new(threads))
    }

    /// Any server: from the lowest idle to the highest load of the table, the middle of the loads expected.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        let none = (f64::INFINITY, f64::INFINITY, 0.0_f64);
        let (idle, low, high) = generations()
            .fold(none, |(idle, low, high), row| (row.idle.min(idle), row.load.min(low), row.load.max(high)));
        let watts = Joules { lower: idle, value: f64::midpoint(low, high), upper: high };
        Self::per_thread("any generation", watts, threads)
    }

    /// A generation that the table has: from its idle to its load, the load expected.
    fn by_generation(machine: &Hardware, threads: usize) -> Option<Self> {
        let name = generation(machine.identity.as_ref()?, machine.cpu.as_deref()?)?;
        let row = generations().find(|row| row.name == name)?;
        Some(Self::per_thread(name, Joules { lower: row.idle, value: row.load, upper: row.load }, threads))
    }

    fn per_thread(generation: &str, watts: Joules, threads: usize) -> Self {
        let n = threads as f64;
        let name = format!(
            "watts per virtual CPU from idle to full load, {generation}, {threads} threads (cloud-carbon-coefficients 2023)"
        );
        Self {
            name,
            watts: Joules { lower: watts.lower * n, value: watts.value * n, upper: watts.upper * n },
            reason: None,
        }
    }

    /// The design power of this processor. A virtual machine has a part of a processor, of unknown size, so none.
    ///
    /// Lower end: the least share of load that any generation of the table idles at. Upper end: twice the design power, since boards
    /// let processors draw more than it for long.
    fn by_design_power(machine: &Hardware) -> Option<Self> {
        if machine.is_virtual != Some(false) {
            return None;
        }
        let name = plain_name(machine.cpu.as_deref()?);
        let all = design_power(&name)? * machine.sockets? as f64;
        let idle = generations().map(|row| row.idle / row.load).fold(1.0, f64::min);
        let watts = Joules { lower: idle * all, value: all, upper: 2.0 * all };
        Some(Self {
            name: format!("thermal design power of {name}, from idle to twice (codecarbon 3.3.0)"),
            watts,
            reason: None,
        })
    }

    fn method(&self) -> String {
        let reason = self.reason.as_ref().map(|reason| format!("; {reason}")).unwrap_or_default();
        format!("modelled: {}{reason}", self.name)
    }
}

struct Generation {
    name: &'static str,
    idle: f64,
    load: f64,
}

fn generations() -> impl Iterator<Item = Generation> {
    include_str!("../data/vcpu_watts.csv").lines().skip(1).filter_map(|row| {
        let mut cells = row.split(',');
        Some(Generation { name: cells.next()?, idle: cells.next()?.parse().ok()?, load: cells.next()?.parse().ok()? })
    })
}

/// The generation by CPUID, where the name holds the table's word too: desktop parts share some of the numbers.
fn generation(cpu: &CpuIdentity, name: &str) -> Option<&'static str> {
    include_str!("../data/cpu_generations.csv").lines().skip(1).find_map(|row| {
        let cells: Vec<&'static str> = row.split(',').collect();
        let [vendor, family, model, least, most, word, generation] = cells[..] else { return None };
        let number = |cell: &str| cell.parse::<u32>().ok();
        let is_it = cpu.vendor == vendor && Some(cpu.family) == number(family) && Some(cpu.model) == number(model);
        let in_range = (number(least)?..=number(most)?).contains(&cpu.stepping);
        let is_named = plain_name(name).split(' ').any(|part| part == word);
        (is_it && in_range && is_named).then_some(generation)
    })
}

/// Thermal design power in watts by exact name. `None` for a name that is not in the table.
fn design_power(name: &str) -> Option<f64> {
    let rows = include_str!("../data/cpu_tdp.csv").lines().skip(1).filter_map(|row| row.split_once(','));
    rows.filter(|(_, row)| *row == name).find_map(|(watts, _)| watts.parse().ok())
}

/// A processor's name without marks, clock and kind: `Intel(R) Core(TM) i7-8650U CPU @ 1.90GHz` is `Intel Core i7-8650U`.
fn plain_name(name: &str) -> String {
    let name = name.split(['@']).next().unwrap_or_default().split(" with ").next().unwrap_or_default();
    let name = ["(R)", "(TM)", "(r)", "(tm)"].iter().fold(name.to_owned(), |name, mark| name.replace(mark, " "));
    let words: Vec<&str> = name
        .split_whitespace()
        .filter(|word| !matches!(*word, "CPU" | "Processor") && !word.ends_with("-Core"))
        .collect();
    let from = if words.get(1) == Some(&"Gen") { 2 } else { 0 };
    words[from..].join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(cpu: &str, vendor: &str, [family, model, stepping]: [u32; 3], is_virtual: bool) -> Hardware {
        Hardware {
            cpu: Some(cpu.to_owned()),
            threads: 4,
            memory_bytes: None,
            identity: Some(CpuIdentity { vendor: vendor.to_owned(), family, model, stepping }),
            sockets: Some(1),
            is_virtual: Some(is_virtual),
            cpu_quota_millis: None,
        }
    }

    #[test]
    fn names_are_matched_to_the_letter_after_marks_are_taken_off() {
        for (shown, plain, watts) in [
            ("Intel(R) Core(TM) i7-8650U CPU @ 1.90GHz", "Intel Core i7-8650U", Some(15.0)),
            ("11th Gen Intel(R) Core(TM) i7-1165G7 @ 2.80GHz", "Intel Core i7-1165G7", Some(28.0)),
            ("AMD Ryzen 7 5800X 8-Core Processor", "AMD Ryzen 7 5800X", Some(105.0)),
            ("AMD Ryzen 7 PRO 4750U with Radeon Graphics", "AMD Ryzen 7 PRO 4750U", Some(15.0)),
            ("Intel(R) Xeon(R) CPU E5-2690 v4 @ 2.60GHz", "Intel Xeon E5-2690 v4", Some(135.0)),
            ("AMD EPYC 7763 64-Core Processor", "AMD EPYC 7763", Some(280.0)),
            ("AMD EPYC", "AMD EPYC", None),
            ("", "", None),
        ] {
            assert_eq!((plain_name(shown).as_str(), design_power(&plain_name(shown))), (plain, watts));
        }
    }

    /// Figures of the rows of data/vcpu_watts.csv, times four threads.
    #[test]
    fn a_known_server_generation_is_taken_by_its_numbers_and_its_word() {
        let cascade = machine("Intel(R) Xeon(R) Platinum 8259CL CPU @ 2.50GHz", "GenuineIntel", [6, 85, 7], true);
        assert_eq!(
            PowerModel::of(&cascade, 4).watts,
            Joules { lower: 4.0 * 0.6389, value: 4.0 * 3.968, upper: 4.0 * 3.968 }
        );
        let older = machine("Intel(R) Xeon(R) Platinum 8175M CPU @ 2.50GHz", "GenuineIntel", [6, 85, 4], true);
        assert_eq!(PowerModel::of(&older, 1).watts.upper, 4.194);
        // A desktop part with the number of the first EPYC.
        let ryzen = machine("AMD Ryzen 7 1700 Eight-Core Processor", "AuthenticAMD", [23, 1, 1], true);
        assert_eq!(PowerModel::of(&ryzen, 4), PowerModel::new(4));
    }

    #[test]
    fn design_power_is_for_whole_machines_only() {
        let laptop = machine("Intel(R) Core(TM) i7-8650U CPU @ 1.90GHz", "GenuineIntel", [6, 142, 10], false);
        let watts = PowerModel::of(&laptop, 4).watts;
        assert_eq!((watts.value, watts.upper), (15.0, 30.0));
        // Idle is 0.6389 of 3.968 W at Cascade Lake and less of load nowhere but at Sky Lake: 0.6446 of 4.194 W.
        assert!((watts.lower - 15.0 * 0.6446 / 4.194).abs() < 1e-9, "{}", watts.lower);
        let guest = Hardware { is_virtual: Some(true), ..laptop.clone() };
        assert_eq!(PowerModel::of(&guest, 4), PowerModel::new(4));
        let unknown = Hardware { is_virtual: None, ..laptop };
        assert_eq!(PowerModel::of(&unknown, 4), PowerModel::new(4));
    }

    #[test]
    fn a_machine_without_counters_says_so_and_is_modelled_by_the_widest_interval() {
        let root = tempfile::tempdir().unwrap();
        let unknown = machine("AMD EPYC", "AuthenticAMD", [25, 17, 1], true);
        let mut sensor = Sensor::find_in(root.path(), &unknown, 2);
        assert_eq!(
            sensor.read(10.0),
            Joules { lower: 2.0 * 0.4453 * 10.0, value: (1.693 + 8.576) * 10.0, upper: 171.52 }
        );
        assert!(!sensor.is_counter());
        let expected = format!(
            "modelled: watts per virtual CPU from idle to full load, any generation, 2 threads (cloud-carbon-coefficients 2023); \
             no RAPL counter: {} has no package domain",
            root.path().display()
        );
        assert_eq!(sensor.method(), expected);
    }

    #[test]
    fn a_counter_counts_and_the_first_gap_makes_it_an_inference() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("intel-rapl:0");
        std::fs::create_dir_all(&folder).unwrap();
        for (file, text) in [("name", "package-0"), ("energy_uj", "5"), ("max_energy_range_uj", "1000000")] {
            std::fs::write(folder.join(file), text).unwrap();
        }
        let unknown = machine("AMD EPYC", "AuthenticAMD", [25, 17, 1], true);
        let mut sensor = Sensor::find_in(root.path(), &unknown, 2);
        sensor.begin();
        assert_eq!((sensor.is_counter(), sensor.gaps()), (true, 0));
        assert_eq!(sensor.method(), "counter: RAPL, 1 package domains, nested domains not summed");
        std::fs::remove_file(folder.join("energy_uj")).unwrap();
        sensor.read(1.0);
        assert_eq!((sensor.is_counter(), sensor.gaps()), (false, 1));
        let expected = "counter: RAPL, 1 package domains, nested domains not summed; 1 readings without a counter, bounded by the power limit";
        assert_eq!(sensor.method(), expected);
    }
}
