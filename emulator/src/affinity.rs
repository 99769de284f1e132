//! Which cores there are, and pinning a thread to one.
//!
//! Only Linux pins; elsewhere threads float and the run says so.

/// Cores that this process may use, ascending. Never empty.
#[must_use]
pub fn allowed_cores() -> Vec<usize> {
    imp::allowed_cores()
}

/// Lets the calling thread run on these cores only.
///
/// # Errors
/// What the operating system said, or that it cannot pin.
pub fn pin_to(cores: &[usize]) -> Result<(), String> {
    imp::pin_to(cores)
}

#[cfg(target_os = "linux")]
mod imp {
    use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
    use nix::unistd::Pid;

    /// The calling thread, to the scheduler.
    const THIS_THREAD: Pid = Pid::from_raw(0);

    pub fn allowed_cores() -> Vec<usize> {
        let cores: Vec<usize> = sched_getaffinity(THIS_THREAD)
            .map(|set| (0..CpuSet::count()).filter(|&c| set.is_set(c).unwrap_or(false)).collect())
            .unwrap_or_default();
        if cores.is_empty() { vec![0] } else { cores }
    }

    pub fn pin_to(cores: &[usize]) -> Result<(), String> {
        let mut set = CpuSet::new();
        for &core in cores {
            set.set(core).map_err(|error| error.to_string())?;
        }
        sched_setaffinity(THIS_THREAD, &set).map_err(|error| error.to_string())
    }
}

#[cfg(not(target_os = "linux"))]
mod imp {
    pub fn allowed_cores() -> Vec<usize> {
        let n = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        (0..n).collect()
    }

    pub fn pin_to(_cores: &[usize]) -> Result<(), String> {
        Err("this operating system does not pin threads".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_can_be_pinned_to_a_core_that_it_may_use() {
        std::thread::spawn(|| {
            let last = *allowed_cores().last().unwrap();
            if cfg!(target_os = "linux") {
                pin_to(&[last]).unwrap();
                assert_eq!(allowed_cores(), [last]);
            }
        })
        .join()
        .unwrap();
        assert!(!allowed_cores().is_empty());
        assert!(pin_to(&[1_000_000]).is_err());
    }
}
