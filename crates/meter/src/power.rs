//! Energy: a counter where one is readable, else a named model with its interval. Missing is never zero.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Joules with bounds.
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
    /// Watts per processor thread between idle and load.
    Model(PowerModel),
}

impl Sensor {
    /// The best there is: RAPL when it can be read, else the model.
    #[must_use]
    pub fn find(threads: usize) -> Self {
        Rapl::find(Path::new("/sys/class/powercap")).map_or_else(|| Self::Model(PowerModel::new(threads)), Self::Rapl)
    }

    /// The label that evidence carries: how the number came to be.
    #[must_use]
    pub fn method(&self) -> String {
        match self {
            Self::Rapl(rapl) => format!("counter: RAPL, {} package domains, nested domains not summed", rapl.packages.len()),
            Self::Model(model) => model.method(),
        }
    }

    #[must_use]
    pub const fn is_counter(&self) -> bool {
        matches!(self, Self::Rapl(_))
    }

    /// An upper bound on the power drawn, in watts: what a reservation is made with.
    #[must_use]
    pub fn watts_max(&self) -> f64 {
        match self {
            Self::Rapl(rapl) => rapl.watts_max,
            Self::Model(model) => model.load_max,
        }
    }

    /// The power expected under load, in watts, with bounds.
    #[must_use]
    pub const fn watts(&self) -> Joules {
        match self {
            Self::Rapl(rapl) => Joules { lower: 0.0, value: rapl.watts_max / 2.0, upper: rapl.watts_max },
            Self::Model(model) => Joules { lower: model.load_min, value: f64::midpoint(model.load_min, model.load_max), upper: model.load_max },
        }
    }

    /// Energy since the last call, over `seconds` of wall time; the first call starts the count.
    pub fn read(&mut self, seconds: f64) -> Joules {
        match self {
            Self::Rapl(rapl) => match rapl.read() {
                Some(joules) => Joules { lower: joules, value: joules, upper: joules },
                // A counter that is gone is not zero: the power limit bounds what was drawn.
                None => Joules { lower: 0.0, value: rapl.watts_max / 2.0 * seconds, upper: rapl.watts_max * seconds },
            },
            Self::Model(model) => Joules {
                lower: model.load_min * seconds,
                value: f64::midpoint(model.load_min, model.load_max) * seconds,
                upper: model.load_max * seconds,
            },
        }
    }
}

/// Watts per thread over the processor generations of the table: the machine's own generation is not known from inside a
/// virtual machine, so the interval spans them all.
#[derive(Debug, Clone, PartialEq)]
pub struct PowerModel {
    threads: usize,
    load_min: f64,
    load_max: f64,
}

impl PowerModel {
    #[must_use]
    pub fn new(threads: usize) -> Self {
        let rows = include_str!("../data/vcpu_watts.csv").lines().skip(1);
        let loads = rows.filter_map(|row| row.rsplit(',').next()?.parse::<f64>().ok());
        let (low, high) = loads.fold((f64::INFINITY, 0.0), |(low, high): (f64, f64), w| (low.min(w), high.max(w)));
        Self { threads, load_min: low * threads as f64, load_max: high * threads as f64 }
    }

    fn method(&self) -> String {
        format!(
            "modelled: watts per virtual CPU at full load, {} threads, from the lowest to the highest generation of cloud-carbon-coefficients 2023",
            self.threads
        )
    }
}

/// RAPL package counters.
#[derive(Debug)]
pub struct Rapl {
    packages: Vec<Package>,
    watts_max: f64,
}

#[derive(Debug)]
struct Package {
    counter: PathBuf,
    range_uj: u64,
    last_uj: u64,
}

impl Rapl {
    /// The package domains below a powercap folder; `None` when there is none, or none can be read.
    ///
    /// Sub-domains (`intel-rapl:0:0`) lie inside their package and `psys` around it, so neither is taken; of MSR and MMIO
    /// copies of one package only the first is.
    #[must_use]
    pub fn find(root: &Path) -> Option<Self> {
        let mut folders: Vec<PathBuf> = fs::read_dir(root).ok()?.flatten().map(|entry| entry.path()).collect();
        folders.sort();
        let (mut packages, mut names, mut watts_max) = (Vec::new(), Vec::new(), 0.0);
        for folder in folders {
            let name = text(&folder.join("name")).unwrap_or_default();
            if !name.starts_with("package-") || names.contains(&name) {
                continue;
            }
            let counter = folder.join("energy_uj");
            let Some(last_uj) = number(&counter) else { continue };
            let Some(range_uj) = number(&folder.join("max_energy_range_uj")) else { continue };
            let limit = number(&folder.join("constraint_0_power_limit_uw")).map_or(350.0, |microwatts| microwatts as f64 / 1e6);
            watts_max += limit;
            packages.push(Package { counter, range_uj, last_uj });
            names.push(name);
        }
        (!packages.is_empty()).then(|| Self { packages, watts_max })
    }

    /// Joules since the last reading. A counter that went down has wrapped, once: readings come faster than it wraps.
    fn read(&mut self) -> Option<f64> {
        let microjoules: Option<u64> = self.packages.iter_mut().map(Package::step).sum();
        Some(microjoules? as f64 / 1e6)
    }
}

impl Package {
    fn step(&mut self) -> Option<u64> {
        let now = number(&self.counter)?;
        let spent = if now >= self.last_uj { now - self.last_uj } else { self.range_uj.saturating_sub(self.last_uj) + now };
        self.last_uj = now;
        Some(spent)
    }
}

fn text(path: &Path) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

fn number(path: &Path) -> Option<u64> {
    text(path)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain(root: &Path, folder: &str, name: &str, microjoules: u64) {
        let folder = root.join(folder);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("name"), format!("{name}\n")).unwrap();
        fs::write(folder.join("energy_uj"), microjoules.to_string()).unwrap();
        fs::write(folder.join("max_energy_range_uj"), "1000000").unwrap();
    }

    #[test]
    fn nested_and_doubled_domains_are_not_summed_and_a_wrap_is_seen() {
        let root = tempfile::tempdir().unwrap();
        domain(root.path(), "intel-rapl:0", "package-0", 900_000);
        domain(root.path(), "intel-rapl:0:0", "core", 500_000);
        domain(root.path(), "intel-rapl:1", "psys", 800_000);
        domain(root.path(), "intel-rapl-mmio:0", "package-0", 900_000);
        let mut rapl = Rapl::find(root.path()).unwrap();
        assert_eq!(rapl.packages.len(), 1);
        let counter = rapl.packages[0].counter.clone();
        fs::write(&counter, "950000").unwrap();
        assert_eq!(rapl.read(), Some(0.05));
        fs::write(&counter, "100000").unwrap();
        assert_eq!(rapl.read(), Some(0.15));
        fs::remove_file(&counter).unwrap();
        assert_eq!(rapl.read(), None);
    }

    #[test]
    fn a_machine_without_counters_has_none() {
        let root = tempfile::tempdir().unwrap();
        assert!(Rapl::find(root.path()).is_none());
        assert!(Rapl::find(Path::new("/nowhere")).is_none());
        let model = PowerModel::new(2);
        assert_eq!((model.load_min, model.load_max), (3.386, 17.152));
    }
}
