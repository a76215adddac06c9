//! What a worker takes away from itself before it has a guest (WORKER-1), never to get it back.
//!
//! | taken away | by |
//! |---|---|
//! | files, by any path | Landlock without a rule; no system call opens one |
//! | sockets, connections, other programs, other processes, namespaces, what traces and watches | a list of the system calls that are left; others are refused |
//! | privileges by files that have some | `no_new_privs` |
//! | what its memory holds, for others | not dumpable, no core |
//! | life without its node | a signal by the kernel, and the end of its sockets |
//!
//! What is left: memory, also such that is executed, threads, clocks, randomness, its two sockets and where it writes its
//! last words. A guest that breaks out of the engine has that, and can compute.

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _,
    RulesetStatus, Scope,
};
use libc::c_long;
use rustix::process::{Resource, Rlimit, Signal, setrlimit};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Len, SeccompCmpOp as Op, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch,
};

/// Files that are open: two sockets, what the runtime has, and an image of its memory for each part of a function's
/// code.
const FILES_MAX: u64 = 4096;
/// The least priority when there is no memory left: a worker goes before its node.
const FIRST_TO_GO: &str = "1000";

/// System calls that are left, whatever their arguments.
const LEFT: &[c_long] = &[
    libc::SYS_brk,
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_close,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_eventfd2,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_getsockopt,
    libc::SYS_gettid,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    libc::SYS_memfd_create,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_nanosleep,
    libc::SYS_ppoll,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_set_robust_list,
    libc::SYS_shutdown,
    libc::SYS_sigaltstack,
    libc::SYS_write,
    libc::SYS_writev,
    // Answered as by a kernel that has none, so that the C library takes the one whose flags can be looked at.
    libc::SYS_clone3,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_arch_prctl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_epoll_wait,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
];

/// Flags of what is a thread of this process, and of what is more than that.
const THREAD: i32 = libc::CLONE_VM | libc::CLONE_SIGHAND | libc::CLONE_THREAD;
const MORE: i32 = libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET;

/// Confines this process for ever, which has one thread, and closes all but its standard streams.
///
/// # Errors
/// Why it cannot be, and is not altogether.
pub fn confine() -> Result<(), String> {
    // Before what describes this process is closed to itself. These two are no part of the confinement.
    let _nameless = rustix::thread::set_name(c"cairn-worker");
    drop(std::fs::write("/proc/self/oom_score_adj", FIRST_TO_GO));
    close_inherited()?;
    kernel()?;
    limits();
    no_paths()?;
    only_calls_left()
}

/// Keeps what it talks through, and nothing else that was open.
#[expect(unsafe_code, reason = "no safe function closes what nobody knows")]
fn close_inherited() -> Result<(), String> {
    // SAFETY: it is the beginning of the process: nobody has opened anything that is used later.
    match unsafe { libc::close_range(3, u32::MAX, 0) } {
        0 => Ok(()),
        _ => Err(format!("what is open cannot be closed: {}", std::io::Error::last_os_error())),
    }
}

fn kernel() -> Result<(), String> {
    let failed = |what: &'static str| move |error| format!("{what}: {error}");
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(failed("it would outlive its node"))?;
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .map_err(failed("others could read its memory"))?;
    rustix::thread::set_no_new_privs(true).map_err(failed("it could get privileges"))
}

/// Less than there was, where there was more.
fn limits() {
    for (resource, most) in [(Resource::Core, 0), (Resource::Nofile, FILES_MAX)] {
        let before = rustix::process::getrlimit(resource).maximum;
        let most = Some(before.map_or(most, |before| before.min(most)));
        let _stays = setrlimit(resource, Rlimit { current: most, maximum: most });
    }
}

/// All that Landlock knows is handled, and nothing allowed. What the first version knows is asked for; what later ones
/// know is taken where the kernel has it, and is beyond the list of system calls anyway.
fn no_paths() -> Result<(), String> {
    let made = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(ABI::V1))
        .and_then(|rules| {
            rules
                .set_compatibility(CompatLevel::BestEffort)
                .handle_access(AccessFs::from_all(ABI::V5))
        })
        .and_then(|rules| rules.handle_access(AccessNet::from_all(ABI::V4)))
        .and_then(|rules| rules.scope(Scope::from_all(ABI::V6)))
        .and_then(|rules| rules.create())
        .and_then(landlock::RulesetCreated::restrict_self);
    match made {
        Ok(status) if status.ruleset != RulesetStatus::NotEnforced => Ok(()),
        Ok(_) => Err("the kernel has no Landlock".to_owned()),
        Err(error) => Err(format!("the kernel has no Landlock, or it is not switched on: {error}")),
    }
}

type Rules = std::collections::BTreeMap<c_long, Vec<SeccompRule>>;

fn only_calls_left() -> Result<(), String> {
    let failed = |error: &dyn std::fmt::Display| format!("the kernel has no seccomp: {error}");
    let errno = |errno: i32| SeccompAction::Errno(errno.unsigned_abs());
    let filter = |rules: Rules, other, these| -> Result<BpfProgram, seccompiler::BackendError> {
        let arch = TargetArch::try_from(std::env::consts::ARCH)?;
        SeccompFilter::new(rules, other, these, arch)?.try_into()
    };
    let old = Rules::from([(libc::SYS_clone3, Vec::new())]);
    let old = filter(old, SeccompAction::Allow, errno(libc::ENOSYS)).map_err(|e| failed(&e))?;
    let left = left().map_err(|error| failed(&error))?;
    let left = filter(left, errno(libc::EPERM), SeccompAction::Allow).map_err(|e| failed(&e))?;
    for program in [old, left] {
        // There is one thread; if there were others, it would be for them too.
        seccompiler::apply_filter_all_threads(&program).map_err(|error| failed(&error))?;
    }
    Ok(())
}

/// What is left, and with which arguments.
fn left() -> Result<Rules, seccompiler::BackendError> {
    let is = |argument, value: i32| {
        SeccompCondition::new(argument, Len::Dword, Op::Eq, u64::from(value.unsigned_abs()))
    };
    let one_of = |argument, values: &[i32]| -> Result<Vec<SeccompRule>, _> {
        values.iter().map(|value| SeccompRule::new(vec![is(argument, *value)?])).collect()
    };
    let masked = |value: i32| u64::from(value.unsigned_abs());
    let thread = Op::MaskedEq(masked(THREAD | MORE));
    let thread = SeccompCondition::new(0, Len::Qword, thread, masked(THREAD))?;
    // A pointer to nothing: it is asked, and not set.
    let asked = SeccompCondition::new(2, Len::Qword, Op::Eq, 0)?;
    let me = rustix::process::getpid().as_raw_nonzero().get();
    let mut rules: Rules = LEFT.iter().map(|call| (*call, Vec::new())).collect();
    rules.extend([
        (libc::SYS_clone, vec![SeccompRule::new(vec![thread])?]),
        (libc::SYS_socketpair, one_of(0, &[libc::AF_UNIX])?),
        (libc::SYS_prctl, one_of(0, &[libc::PR_SET_NAME])?),
        (libc::SYS_prlimit64, vec![SeccompRule::new(vec![is(0, 0)?, asked])?]),
        // Its own end.
        (libc::SYS_tgkill, one_of(0, &[me])?),
        (libc::SYS_fcntl, one_of(1, &FCNTL)?),
        (
            libc::SYS_ioctl,
            vec![SeccompRule::new(vec![SeccompCondition::new(
                1,
                Len::Dword,
                Op::Eq,
                libc::FIONBIO,
            )?])?],
        ),
    ]);
    Ok(rules)
}

const FCNTL: [i32; 7] = [
    libc::F_DUPFD_CLOEXEC,
    libc::F_GETFD,
    libc::F_SETFD,
    libc::F_GETFL,
    libc::F_SETFL,
    libc::F_ADD_SEALS,
    libc::F_GET_SEALS,
];
