//! RAPL: the package energy counters that the kernel shows under `/sys/class/powercap`.
//!
//! A package counter covers its cores, its uncore and what shares the package, for every process of the machine; memory modules,
//! power supply and cooling are outside.

use crate::power::Joules;
use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Instant,
};

/// Bound on the power of a package that states no limit: the highest thermal design power of data/cpu_tdp.csv.
const WATTS_UNSTATED: f64 = 500.0;
/// A package may draw more than its limit for a moment; what a counter gained is believed up to this many times the limit.
const BELIEVED: f64 = 2.0;

/// Package counters, read together.
#[derive(Debug)]
pub struct Rapl {
    packages: Vec<Package>,
    read_at: Instant,
    gaps: u64,
}

#[derive(Debug)]
struct Package {
    counter: PathBuf,
    range_uj: u64,
    /// `None` after a failed reading: what came since is not attributed twice.
    last_uj: Option<u64>,
    watts_max: f64,
}

/// Why there is no counter.
#[derive(Debug, thiserror::Error)]
pub enum NoCounter {
    #[error("no RAPL counter: {} cannot be listed", .root.display())]
    NoTree { root: PathBuf, source: io::Error },
    #[error("no RAPL counter: {} has no package domain", .root.display())]
    NoPackage { root: PathBuf },
    #[error("no RAPL counter: {} cannot be read (most kernels let only root read it)", .file.display())]
    Unreadable { file: PathBuf, source: io::Error },
}

impl Rapl {
    /// The package domains below a powercap folder.
    ///
    /// Sub-domains (`intel-rapl:0:0`) lie inside their package and `psys` around it, so neither is taken; of MSR and MMIO copies of
    /// one package the MSR's is. All packages or none: a part is not the whole.
    ///
    /// # Errors
    /// `NoCounter` with the reason.
    pub fn open(root: &Path) -> Result<Self, NoCounter> {
        let listed = fs::read_dir(root).map_err(|source| NoCounter::NoTree { root: root.to_path_buf(), source })?;
        let mut folders: Vec<PathBuf> = listed.flatten().map(|entry| entry.path()).collect();
        folders.sort_by_key(|folder| (folder.to_string_lossy().contains("mmio"), folder.clone()));
        let (mut packages, mut names) = (Vec::new(), Vec::new());
        for folder in folders {
            let name = fs::read_to_string(folder.join("name")).unwrap_or_default().trim().to_owned();
            if !name.starts_with("package-") || names.contains(&name) {
                continue;
            }
            packages.push(Package::open(&folder)?);
            names.push(name);
        }
        if packages.is_empty() {
            return Err(NoCounter::NoPackage { root: root.to_path_buf() });
        }
        Ok(Self { packages, read_at: Instant::now(), gaps: 0 })
    }

    /// As [`Rapl::open`], for who does not ask why there is none.
    #[must_use]
    pub fn find(root: &Path) -> Option<Self> {
        Self::open(root).ok()
    }

    #[must_use]
    pub const fn packages(&self) -> usize {
        self.packages.len()
    }

    /// Upper bound on the power of all packages together, in watts.
    #[must_use]
    pub fn watts_max(&self) -> f64 {
        self.packages.iter().map(|package| package.watts_max).sum()
    }

    /// Readings so far that a counter failed or started anew under: their energy is a bound, not a count.
    #[must_use]
    pub const fn gaps(&self) -> u64 {
        self.gaps
    }

    /// Energy since the last reading, or since opening.
    pub fn read(&mut self) -> Joules {
        let seconds = self.read_at.elapsed().as_secs_f64();
        self.read_at = Instant::now();
        self.read_over(seconds)
    }

    fn read_over(&mut self, seconds: f64) -> Joules {
        let mut total = Joules { lower: 0.0, value: 0.0, upper: 0.0 };
        let mut is_gap = false;
        for package in &mut self.packages {
            let bound = package.watts_max * seconds;
            let read = package.step(seconds).unwrap_or_else(|| {
                is_gap = true;
                Joules { lower: 0.0, value: bound / 2.0, upper: bound }
            });
            total.lower += read.lower;
            total.value += read.value;
            total.upper += read.upper;
        }
        self.gaps += u64::from(is_gap);
        total
    }
}

impl Package {
    fn open(folder: &Path) -> Result<Self, NoCounter> {
        let counter = folder.join("energy_uj");
        let number = |file: PathBuf| number(&file).map_err(|source| NoCounter::Unreadable { file, source });
        let limits =
            (0..4).flat_map(|k| [format!("constraint_{k}_power_limit_uw"), format!("constraint_{k}_max_power_uw")]);
        let stated = limits.filter_map(|file| number(folder.join(file)).ok()).max().filter(|limit| *limit > 0);
        Ok(Self {
            last_uj: Some(number(counter.clone())?),
            range_uj: number(folder.join("max_energy_range_uj"))?,
            watts_max: stated.map_or(WATTS_UNSTATED, |microwatts| microwatts as f64 / 1e6),
            counter,
        })
    }

    /// `None` when the counter is gone, came back, or began anew.
    fn step(&mut self, seconds: f64) -> Option<Joules> {
        let last = self.last_uj;
        self.last_uj = number(&self.counter).ok();
        // One joule of grace: the counter is updated about every millisecond.
        let believed = BELIEVED * self.watts_max * seconds + 1.0;
        let gained = gained(last?, self.last_uj?, self.range_uj, believed)?;
        // Over a long silence the counter may have wrapped unseen, so the count is only a lower bound.
        let is_certain = believed < self.range_uj as f64 / 1e6;
        Some(Joules { lower: gained, value: gained, upper: if is_certain { gained } else { believed.max(gained) } })
    }
}

/// Joules from one reading to the next. A counter that went down has wrapped when the gain is one that the package can have
/// drawn; otherwise it was reset, and what was drawn is not known.
fn gained(last_uj: u64, now_uj: u64, range_uj: u64, believed: f64) -> Option<f64> {
    if now_uj >= last_uj {
        return Some((now_uj - last_uj) as f64 / 1e6);
    }
    let wrapped = range_uj.checked_sub(last_uj)?.checked_add(now_uj)? as f64 / 1e6;
    (wrapped <= believed).then_some(wrapped)
}

fn number(file: &Path) -> io::Result<u64> {
    fs::read_to_string(file)?
        .trim()
        .parse()
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not a whole number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A domain of 20 W whose counter wraps at one kilojoule.
    fn domain(root: &Path, folder: &str, name: &str, microjoules: u64) -> PathBuf {
        let folder = root.join(folder);
        fs::create_dir_all(&folder).unwrap();
        let write = |file: &str, text: &str| fs::write(folder.join(file), text).unwrap();
        write("name", &format!("{name}\n"));
        write("energy_uj", &microjoules.to_string());
        write("max_energy_range_uj", "1000000000\n");
        write("constraint_0_power_limit_uw", "15000000\n");
        write("constraint_1_power_limit_uw", "20000000\n");
        folder.join("energy_uj")
    }

    fn exactly(joules: f64) -> Joules {
        Joules { lower: joules, value: joules, upper: joules }
    }

    #[test]
    fn nested_and_doubled_domains_are_not_summed() {
        let root = tempfile::tempdir().unwrap();
        let counter = domain(root.path(), "intel-rapl:0", "package-0", 900_000_000);
        let nested = domain(root.path(), "intel-rapl:0:0", "core", 0);
        let around = domain(root.path(), "intel-rapl:1", "psys", 0);
        let double = domain(root.path(), "intel-rapl-mmio:0", "package-0", 0);
        let other = domain(root.path(), "intel-rapl:2", "package-1", 0);
        let mut rapl = Rapl::open(root.path()).unwrap();
        assert_eq!((rapl.packages(), rapl.watts_max()), (2, 40.0));
        for file in [nested, around, double] {
            fs::write(file, "7000000").unwrap();
        }
        fs::write(&counter, "905000000").unwrap();
        fs::write(&other, "2000000").unwrap();
        assert_eq!(rapl.read_over(1.0), exactly(7.0));
        assert_eq!(rapl.gaps(), 0);
    }

    #[test]
    fn a_wrap_is_counted_and_a_reset_is_a_gap_with_a_bound() {
        let root = tempfile::tempdir().unwrap();
        let counter = domain(root.path(), "intel-rapl:0", "package-0", 995_000_000);
        let mut rapl = Rapl::open(root.path()).unwrap();
        fs::write(&counter, "5000000").unwrap();
        assert_eq!((rapl.read_over(1.0), rapl.gaps()), (exactly(10.0), 0));
        // From 5 J down to 1 J would be 996 J in a second of a 20 W package: begun anew.
        fs::write(&counter, "1000000").unwrap();
        assert_eq!((rapl.read_over(1.0), rapl.gaps()), (Joules { lower: 0.0, value: 10.0, upper: 20.0 }, 1));
        fs::write(&counter, "4000000").unwrap();
        assert_eq!((rapl.read_over(1.0), rapl.gaps()), (exactly(3.0), 1));
    }

    #[test]
    fn a_silence_long_enough_to_wrap_has_an_upper_bound() {
        let root = tempfile::tempdir().unwrap();
        let counter = domain(root.path(), "intel-rapl:0", "package-0", 0);
        let mut rapl = Rapl::open(root.path()).unwrap();
        fs::write(&counter, "5000000").unwrap();
        // 100 s at twice 20 W, and the grace of a joule.
        assert_eq!(rapl.read_over(100.0), Joules { lower: 5.0, value: 5.0, upper: 4001.0 });
    }

    #[test]
    fn a_counter_lost_midway_is_bounded_and_not_counted_twice_when_it_returns() {
        let root = tempfile::tempdir().unwrap();
        let counter = domain(root.path(), "intel-rapl:0", "package-0", 0);
        let other = domain(root.path(), "intel-rapl:1", "package-1", 0);
        let mut rapl = Rapl::open(root.path()).unwrap();
        fs::remove_file(&counter).unwrap();
        fs::write(&other, "3000000").unwrap();
        assert_eq!(rapl.read_over(1.0), Joules { lower: 3.0, value: 13.0, upper: 23.0 });
        fs::write(&counter, "9000000").unwrap();
        assert_eq!(rapl.read_over(1.0), Joules { lower: 0.0, value: 10.0, upper: 20.0 });
        fs::write(&counter, "12000000").unwrap();
        assert_eq!((rapl.read_over(1.0), rapl.gaps()), (exactly(3.0), 2));
    }

    #[test]
    fn the_reason_for_no_counter_is_given() {
        let root = tempfile::tempdir().unwrap();
        let reason = |root: &Path| Rapl::open(root).unwrap_err().to_string();
        let nowhere = root.path().join("nowhere");
        assert_eq!(reason(&nowhere), format!("no RAPL counter: {} cannot be listed", nowhere.display()));
        domain(root.path(), "intel-rapl:0", "psys", 0);
        assert_eq!(reason(root.path()), format!("no RAPL counter: {} has no package domain", root.path().display()));
        domain(root.path(), "intel-rapl:1", "package-0", 0);
        let file = domain(root.path(), "intel-rapl:2", "package-1", 0);
        fs::remove_file(&file).unwrap();
        let expected =
            format!("no RAPL counter: {} cannot be read (most kernels let only root read it)", file.display());
        assert_eq!(reason(root.path()), expected);
    }
}
