//! What machine this is, read from the kernel. Unknown stays unknown.

use std::{
    fs,
    path::{Path, PathBuf},
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hardware {
    /// As the processor names itself.
    pub cpu: Option<String>,
    /// Logical processors this process may use: affinity and quota of its group are respected.
    pub threads: usize,
    /// The machine's memory, or the limit of this process's group where that is lower.
    pub memory_bytes: Option<u64>,
    pub identity: Option<CpuIdentity>,
    /// Sockets seen; inside a virtual machine, virtual ones.
    pub sockets: Option<usize>,
    /// Whether a hypervisor shows itself; unknown where the processor lists no flags.
    pub is_virtual: Option<bool>,
    /// Processor time a second that the group may use, in thousandths; absent when unlimited or not readable.
    pub cpu_quota_millis: Option<u64>,
}

/// CPUID's signature: what tells processor generations apart when the name does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CpuIdentity {
    pub vendor: String,
    pub family: u32,
    pub model: u32,
    pub stepping: u32,
}

impl Hardware {
    /// Looks at this machine.
    #[must_use]
    pub fn find() -> Self {
        Self::find_in(Path::new("/"), std::thread::available_parallelism().map_or(1, usize::from))
    }

    /// Looks below `root`, which holds `proc` and `sys`.
    #[must_use]
    pub fn find_in(root: &Path, threads: usize) -> Self {
        let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
        let cpuinfo = read("proc/cpuinfo");
        let group = Group::of(root, &read("proc/self/cgroup"));
        let limit = group.as_ref().and_then(|group| group.lowest("memory.max", |text| text.parse().ok()));
        Self {
            cpu: cpu_name(&cpuinfo),
            threads,
            memory_bytes: [kilobytes(&read("proc/meminfo"), "MemTotal:"), limit].into_iter().flatten().min(),
            identity: identity(&cpuinfo),
            sockets: sockets(&cpuinfo),
            is_virtual: field(&cpuinfo, "flags").map(|flags| flags.split(' ').any(|flag| flag == "hypervisor")),
            cpu_quota_millis: group.and_then(|group| group.lowest("cpu.max", quota_millis)),
        }
    }
}

/// A control group of version 2 and the groups it lies in: each may set a limit, the lowest holds.
struct Group {
    mount: PathBuf,
    folder: PathBuf,
}

impl Group {
    /// `listing` is the text of `/proc/self/cgroup`; version 2 is its line `0::PATH`.
    fn of(root: &Path, listing: &str) -> Option<Self> {
        let path = listing.lines().find_map(|line| line.strip_prefix("0::/"))?;
        let mount = root.join("sys/fs/cgroup");
        let climbs = path.split('/').any(|part| part == "..");
        (!climbs).then(|| Self { folder: mount.join(path), mount })
    }

    /// Of this group and those around it that have a limit, the least that is left.
    fn memory_left(&self) -> Option<u64> {
        let inside = self.folder.ancestors().take_while(|folder| folder.starts_with(&self.mount));
        let number = |path: PathBuf| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
        inside
            .filter_map(|folder| {
                Some(number(folder.join("memory.max"))?.saturating_sub(number(folder.join("memory.current"))?))
            })
            .min()
    }

    fn lowest(&self, file: &str, read: impl Fn(&str) -> Option<u64>) -> Option<u64> {
        let inside = self.folder.ancestors().take_while(|folder| folder.starts_with(&self.mount));
        inside.filter_map(|folder| read(fs::read_to_string(folder.join(file)).ok()?.trim())).min()
    }
}

/// `cpu.max` is `QUOTA PERIOD` in microseconds; a quota of `max` is none.
fn quota_millis(text: &str) -> Option<u64> {
    let (quota, period) = text.split_once(' ')?;
    quota.parse::<u64>().ok()?.checked_mul(1000)?.checked_div(period.trim().parse().ok()?)
}

fn cpu_name(cpuinfo: &str) -> Option<String> {
    field(cpuinfo, "model name").map(str::to_owned)
}

fn identity(cpuinfo: &str) -> Option<CpuIdentity> {
    let number = |key| field(cpuinfo, key)?.parse().ok();
    Some(CpuIdentity {
        vendor: field(cpuinfo, "vendor_id")?.to_owned(),
        family: number("cpu family")?,
        model: number("model")?,
        stepping: number("stepping")?,
    })
}

fn sockets(cpuinfo: &str) -> Option<usize> {
    let ids = cpuinfo.lines().filter_map(|line| value(line, "physical id"));
    let n = ids.collect::<std::collections::BTreeSet<_>>().len();
    (n > 0).then_some(n)
}

/// The first value under a key of `/proc/cpuinfo`, when it is not empty.
fn field<'a>(cpuinfo: &'a str, key: &str) -> Option<&'a str> {
    cpuinfo.lines().find_map(|line| value(line, key)).filter(|value| !value.is_empty())
}

fn value<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let (name, value) = line.split_once(':')?;
    (name.trim() == key).then(|| value.trim())
}

fn kilobytes(text: &str, key: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(key))?;
    rest.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Memory that may still be taken, in bytes: what the kernel reckons can be had without swapping, or what this process's group has
/// left where that is less.
#[must_use]
pub fn memory_available() -> Option<u64> {
    memory_available_in(Path::new("/"))
}

fn memory_available_in(root: &Path) -> Option<u64> {
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
    let left = Group::of(root, &read("proc/self/cgroup")).and_then(|group| group.memory_left());
    [kilobytes(&read("proc/meminfo"), "MemAvailable:"), left].into_iter().flatten().min()
}

/// Peak resident memory of this process so far, in bytes: VmHWM of the kernel.
#[must_use]
pub fn memory_peak() -> Option<u64> {
    memory_peak_of(Path::new("/proc/self/status"))
}

fn memory_peak_of(status: &Path) -> Option<u64> {
    kilobytes(&fs::read_to_string(status).ok()?, "VmHWM:")
}

/// Peak memory of this process's control group and everything in it, in bytes: `memory.peak`; absent without version 2.
#[must_use]
pub fn group_memory_peak() -> Option<u64> {
    group_memory_peak_in(Path::new("/"))
}

fn group_memory_peak_in(root: &Path) -> Option<u64> {
    let group = Group::of(root, &fs::read_to_string(root.join("proc/self/cgroup")).ok()?)?;
    fs::read_to_string(group.folder.join("memory.peak")).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two processors of a virtual machine with one socket, as a kernel 6.1 prints them, shortened.
    const CPUINFO: &str = "processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 85\nmodel name\t: Intel(R) Xeon(R) Platinum 8259CL CPU @ 2.50GHz\nstepping\t: 7\nphysical id\t: 0\nflags\t\t: fpu hypervisor avx2\n\nprocessor\t: 1\nvendor_id\t: GenuineIntel\nphysical id\t: 0\n";

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn the_kernels_texts_are_read() {
        assert_eq!(cpu_name("processor\t: 0\nmodel name\t: AMD EPYC 9654\n"), Some("AMD EPYC 9654".to_owned()));
        assert_eq!(cpu_name("processor\t: 0\nmodel name\t: \n"), None);
        assert_eq!(kilobytes("MemFree: 1 kB\nMemTotal:       24 kB\n", "MemTotal:"), Some(24 * 1024));
        assert_eq!(kilobytes("MemTotal: many\n", "MemTotal:"), None);
        assert_eq!(memory_peak_of(Path::new("/nowhere")), None);
    }

    #[test]
    fn a_machine_is_described_and_the_lowest_limit_of_its_groups_holds() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "proc/cpuinfo", CPUINFO);
        write(root.path(), "proc/meminfo", "MemTotal:       4096 kB\n");
        write(root.path(), "proc/self/cgroup", "4:memory:/old\n0::/slice/job\n");
        write(root.path(), "sys/fs/cgroup/slice/memory.max", "2097152\n");
        write(root.path(), "sys/fs/cgroup/slice/job/memory.max", "max\n");
        write(root.path(), "sys/fs/cgroup/slice/job/cpu.max", "150000 100000\n");
        write(root.path(), "sys/fs/cgroup/slice/job/memory.peak", "1048576\n");
        let found = Hardware::find_in(root.path(), 2);
        let identity = CpuIdentity { vendor: "GenuineIntel".to_owned(), family: 6, model: 85, stepping: 7 };
        assert_eq!(found.memory_bytes, Some(2_097_152));
        assert_eq!(found.cpu_quota_millis, Some(1500));
        assert_eq!((found.identity, found.sockets, found.is_virtual), (Some(identity), Some(1), Some(true)));
        assert_eq!(group_memory_peak_in(root.path()), Some(1_048_576));
        assert_eq!(memory_available_in(root.path()), None);
        write(root.path(), "proc/meminfo", "MemTotal:       4096 kB\nMemAvailable:   2000 kB\n");
        assert_eq!(memory_available_in(root.path()), Some(2_048_000));
        write(root.path(), "sys/fs/cgroup/slice/memory.current", "97152\n");
        assert_eq!(memory_available_in(root.path()), Some(2_000_000));
    }

    #[test]
    fn what_is_not_there_is_unknown() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "proc/self/cgroup", "0::/../../outside\n");
        write(root.path(), "outside/memory.max", "1\n");
        let found = Hardware::find_in(root.path(), 1);
        let nothing = Hardware {
            cpu: None,
            threads: 1,
            memory_bytes: None,
            identity: None,
            sockets: None,
            is_virtual: None,
            cpu_quota_millis: None,
        };
        assert_eq!(found, nothing);
        assert_eq!((quota_millis("max 100000"), quota_millis("5 0")), (None, None));
    }
}
