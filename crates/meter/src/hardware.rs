//! What machine this is, read from the kernel. Unknown stays unknown.

use std::{fs, path::Path};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hardware {
    /// As the processor names itself.
    pub cpu: Option<String>,
    /// Logical processors this process may use.
    pub threads: usize,
    pub memory_bytes: Option<u64>,
}

impl Hardware {
    /// Looks at this machine.
    #[must_use]
    pub fn find() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let limit = read("/sys/fs/cgroup/memory.max").trim().parse().ok();
        Self {
            cpu: cpu_name(&read("/proc/cpuinfo")),
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: [kilobytes(&read("/proc/meminfo"), "MemTotal:"), limit].into_iter().flatten().min(),
        }
    }
}

fn cpu_name(cpuinfo: &str) -> Option<String> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned()).filter(|name| !name.is_empty())
}

fn kilobytes(text: &str, key: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(key))?;
    rest.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Peak resident memory of this process so far, in bytes: VmHWM of the kernel.
#[must_use]
pub fn memory_peak() -> Option<u64> {
    memory_peak_of(Path::new("/proc/self/status"))
}

fn memory_peak_of(status: &Path) -> Option<u64> {
    kilobytes(&fs::read_to_string(status).ok()?, "VmHWM:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_texts_are_read() {
        assert_eq!(cpu_name("processor\t: 0\nmodel name\t: AMD EPYC 9654\n"), Some("AMD EPYC 9654".to_owned()));
        assert_eq!(cpu_name("processor\t: 0\n"), None);
        assert_eq!(kilobytes("MemFree: 1 kB\nMemTotal:       24 kB\n", "MemTotal:"), Some(24 * 1024));
        assert_eq!(kilobytes("MemTotal: many\n", "MemTotal:"), None);
        assert_eq!(memory_peak_of(Path::new("/nowhere")), None);
    }
}
